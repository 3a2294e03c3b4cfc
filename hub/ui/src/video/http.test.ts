import { describe, expect, it } from "vitest";
import { Fragments } from "./fragments";
import { otherFor, Reach } from "./line";
import { Bench, settle } from "../../tests/fixtures/page";

/** A box with that many bytes of content. */
function box(type: string, size: number, fill: (v: DataView) => void = () => {}): Uint8Array {
  const b = new Uint8Array(8 + size);
  const v = new DataView(b.buffer);
  v.setUint32(0, b.length);
  for (let i = 0; i < 4; i++) b[4 + i] = type.charCodeAt(i);
  fill(v);
  return b;
}

function reference(flags: number, at: number, media: number): Uint8Array {
  return box("prft", 24, (v) => {
    v.setUint32(8, (1 << 24) | flags);
    v.setUint32(12, 1);
    v.setUint32(16, Math.floor(at / 1000) + 2_208_988_800);
    v.setUint32(20, ((at % 1000) / 1000) * 2 ** 32);
    v.setUint32(28, media);
  });
}

function join(...parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

const taken = 60_250;
const fragment = (media: number) => join(reference(0, taken + media / 90, media), reference(4, taken + media / 90 + 100, media), box("moof", 40), box("mdat", 100));
const start = join(box("ftyp", 16), box("moov", 200));

describe("fragmented MP4", () => {
  it("comes out whole however it was cut", () => {
    const all = join(start, fragment(0), fragment(3600));
    for (let cut = 1; cut < all.length; cut += 7) {
      const f = new Fragments();
      let bytes = 0;
      let frames = 0;
      const times: number[] = [];
      for (let at = 0; at < all.length; at += cut) {
        const s = f.push(all.subarray(at, Math.min(at + cut, all.length)));
        bytes += s.bytes.length;
        frames += s.frames;
        for (const r of s.taken) times.push(Math.round(r.at), r.media);
      }
      expect([bytes, frames, times]).toEqual([all.length, 2, [taken, 0, taken + 40, 3600]]);
    }
  });
  it("is refused where it is something else", () => {
    expect(() => new Fragments().push(new TextEncoder().encode("<!doctype html><html>"))).toThrow("MP4");
    expect(() => new Fragments().push(new Uint8Array(8))).toThrow("MP4");
  });
});

describe("where WebRTC does not get through", () => {
  /** A tile whose line never stands. */
  async function fallen(b = new Bench({}, new Reach(true))): Promise<Bench> {
    b.machine.start();
    await settle();
    await b.offer.accept("/whep/a/b/1");
    await b.pass(6000);
    return b;
  }
  it("takes HTTP by itself, and says why", async () => {
    const b = await fallen();
    expect(b.removed).toEqual(["/whep/a/b/1"]);
    expect(b.request.path).toBe("/api/v1/live/a/b?reason=test");
    await b.request.accept('video/mp4; codecs="avc1.64001f"');
    await b.request.send(join(start, fragment(0)));
    expect(b.now).toBe("connecting picture");
    expect(b.tracks).toBe(1);
    b.machine.frame({});
    expect(b.now).toBe("live");
    expect([b.machine.way, b.machine.wayCause?.code]).toEqual(["http", "line.never"]);
    expect(b.appended).toBe(join(start, fragment(0)).length);
    b.machine.stop();
    await settle();
    expect(b.removed).toEqual(["/whep/a/b/1", "/whep/a/b/http-1"]);
    expect(b.request.aborted()).toBe(true);
    expect(b.free).toBe(1);
  });
  it("takes HTTP from a relay elsewhere too", async () => {
    const b = new Bench({}, new Reach(true));
    b.relay = "https://relay.example";
    await fallen(b);
    expect([b.request.path, b.request.credential]).toEqual(["https://relay.example/api/v1/live/a/b?reason=test", "credential 3"]);
  });
  it("stays with WebRTC where the browser cannot play it", async () => {
    const b = await fallen(new Bench({}, new Reach(false)));
    await b.pass(9000);
    expect(b.now).toBe("lost line.never");
    expect(b.requests).toHaveLength(0);
  });
  it("takes the hub's TURN server first, if it has one", async () => {
    const reach = new Reach(true);
    const b = new Bench({}, reach);
    b.servers = [{ urls: "turn:hub" }];
    await fallen(b);
    await settle();
    expect(b.given).toBe(1);
    expect(b.requests).toHaveLength(0);
    await b.offer.accept("/whep/a/b/2");
    b.peer.stands();
    b.machine.frame({});
    expect([b.now, b.machine.way, b.machine.wayCause?.code]).toEqual(["live", "turn", "line.never"]);
    // And HTTP where that does not get through either.
    const c = new Bench({}, reach);
    c.servers = b.servers;
    c.machine.start();
    await settle();
    await c.offer.accept("/whep/a/b/3");
    await c.pass(6000);
    expect(c.requests).toHaveLength(1);
    expect(reach.way(c.time)).toBe("http");
  });
  it("tries WebRTC again after some minutes, and other tiles do not wait for it before", async () => {
    const reach = new Reach(true);
    const b = await fallen(new Bench({}, reach));
    await b.request.accept();
    expect(reach.way(b.time + otherFor - 1)).toBe("http");
    expect(reach.way(b.time + otherFor)).toBe("webrtc");
    expect(reach.cause).toBeNull();
  });
  it("does not take refusals of the hub for a line that does not get through", async () => {
    const b = new Bench({}, new Reach(true));
    b.machine.start();
    await settle();
    await b.offer.refuse(503, { code: "video_edge_offline", text: "" });
    expect(b.now).toBe("refused site.offline");
    expect(b.requests).toHaveLength(0);
  });
  it("says what the hub says when it ends", async () => {
    const b = await fallen();
    await b.request.accept();
    await b.request.send(join(start, fragment(0)));
    b.machine.frame({});
    b.ended = { status: 410, reason: { code: "video_upstream_ended", params: {}, text: "" } };
    await b.request.send(null);
    expect(b.now).toBe("lost site.stopping");
    b.ended = null;
    await b.pass(1000);
    expect(b.requests).toHaveLength(2); // by HTTP again
  });
  it("says that the browser cannot play it, or has no connection left", async () => {
    let b = await fallen();
    b.playable = false;
    await b.request.accept("video/mp4; codecs=hev1");
    expect(b.now).toBe("refused codec");
    b = new Bench({}, new Reach(true));
    b.free = 0;
    await fallen(b);
    expect(b.now).toBe("refused http.full");
    expect(b.requests).toHaveLength(0);
  });
  it("knows the age of a picture by the hub's clock", async () => {
    const b = await fallen();
    await b.request.accept();
    // This machine's clock is 5 s ahead; the picture was sent 100 ms after it was taken.
    b.time = taken + 100 + 5000;
    await b.request.send(join(start, fragment(0)));
    b.machine.frame({});
    await b.pass(600);
    b.machine.frame({ taken: taken + 300 });
    expect(b.machine.last?.kind).toBe("taken");
    expect(Math.round(b.time - b.machine.last!.at)).toBe(400);
  });
});
