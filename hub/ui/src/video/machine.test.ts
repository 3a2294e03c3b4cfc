import { describe, expect, it } from "vitest";
import { ApiError } from "../api/client";
import { Bench, settle } from "../../tests/fixtures/page";

describe("from the wish to the picture", () => {
  it("says each step", async () => {
    const b = new Bench();
    b.machine.start();
    await settle();
    expect(b.offer.path).toBe("/whep/a/b?reason=test");
    await b.pass(1000);
    await b.offer.accept();
    b.peer.stands();
    await b.pass(200);
    b.machine.frame({});
    expect(b.states).toEqual(["connecting turn", "connecting hub", "connecting site", "connecting line", "connecting picture", "live"]);
    expect(b.machine.firstFrameMs).toBe(1200);
    expect(b.peer.answer).toBe("answer");
    expect(b.peer.receiver.jitterBufferTarget).toBe(0);
    expect(b.peer.extensions[0]!.direction).toBe("sendrecv");
  });
  it("does not name the site when the hub answers at once", async () => {
    const b = new Bench();
    await b.live();
    expect(b.states).not.toContain("connecting site");
    expect(b.tracks).toBe(1);
  });
  it("gives up a line that does not come to stand, and tells the hub", async () => {
    const b = new Bench();
    b.machine.start();
    await settle();
    await b.offer.accept("/whep/a/b/1");
    await b.pass(15_000);
    expect(b.now).toBe("lost line.never");
    expect(b.removed).toEqual(["/whep/a/b/1"]);
    expect(b.peer.closed).toBe(true);
  });
  it("gives up a line without a picture", async () => {
    const b = new Bench();
    b.machine.start();
    await settle();
    await b.offer.accept();
    b.peer.stands();
    await b.pass(10_250);
    expect(b.now).toBe("lost picture.never");
  });
  it("waits for no picture while the page is hidden", async () => {
    const b = new Bench();
    b.machine.start();
    await settle();
    await b.offer.accept();
    b.peer.stands();
    b.machine.hidden(true);
    await b.pass(60_000);
    expect(b.now).toBe("connecting picture");
    b.machine.hidden(false);
    await b.pass(9_000);
    expect(b.now).toBe("connecting picture");
  });
});

describe("a picture that stands still", () => {
  it("is frozen within 2 s, with what is known of the reason", async () => {
    const b = new Bench();
    await b.live();
    b.peer.report.set("in", { type: "inbound-rtp", bytesReceived: 1000 });
    await b.pass(1200);
    expect(b.now).toBe("live");
    await b.pass(500);
    expect(b.now).toBe("frozen picture.none");
    await b.pass(1300);
    expect(b.now).toBe("frozen line.empty");
    b.peer.report.set("in", { type: "inbound-rtp", bytesReceived: 9000 });
    await b.pass(1000);
    expect(b.now).toBe("frozen picture.broken");
    b.machine.frame({});
    expect(b.now).toBe("live");
  });
  it("is lost when it does not come back, and tried again", async () => {
    const b = new Bench();
    await b.live();
    await b.pass(15_250);
    expect(b.now).toBe("lost picture.gone");
    await b.pass(1000);
    expect(b.now).toBe("connecting site");
    const s = b.machine.state;
    expect(s.name === "connecting" && s.after?.code).toBe("picture.gone");
  });
  it("is lost with the hub's reason as soon as the hub has one", async () => {
    const b = new Bench();
    await b.live();
    b.ended = { status: 410, reason: { code: "video_upstream_ended", params: { cause: "x", cause_code: "session_no_frames", cause_seconds: "10" }, text: "x" } };
    await b.pass(1700);
    expect(b.now).toBe("lost camera.silent");
    expect(b.removed).toEqual([]); // it has ended: nothing is left to delete
  });
  it("is usual for a slow camera", async () => {
    const b = new Bench();
    await b.live();
    await b.pictures(12_000, 1200);
    expect(b.machine.patience).toBe(3000);
    await b.pass(2900);
    expect(b.now).toBe("live");
    await b.pass(400);
    expect(b.now).toContain("frozen");
  });
  it("is not frozen because the page itself stood still", async () => {
    const b = new Bench();
    await b.live();
    b.stall(4000);
    await b.pass(100); // the timer runs before the pictures that waited
    expect(b.now).toBe("live");
    b.machine.frame({});
    await b.pass(1000);
    expect(b.now).toBe("live");
  });
  it("is not frozen while the page is hidden", async () => {
    const b = new Bench();
    await b.live();
    b.machine.hidden(true);
    await b.pass(30_000);
    expect(b.now).toBe("live");
    b.machine.hidden(false);
    await b.pass(1000);
    expect(b.now).toBe("live");
    await b.pass(1000);
    expect(b.now).toContain("frozen");
  });
});

describe("an old picture", () => {
  it("with which a hub begins is not taken for a new one", async () => {
    const b = new Bench();
    await b.live();
    const clock = (took: number, rtp: number) => {
      b.peer.report.set("o", { type: "remote-outbound-rtp", timestamp: b.time, remoteTimestamp: b.time });
      b.peer.receiver.getSynchronizationSources = () => [{ rtpTimestamp: rtp, captureTimestamp: took }];
    };
    clock(b.time, 900);
    await b.pictures(1000);
    const taken = b.time;
    b.peer.becomes("failed");
    await settle();
    await b.pass(700);
    await b.offer.accept();
    clock(taken, 90_900);
    b.peer.stands();
    await b.pass(5000);
    b.machine.frame({ rtpTimestamp: 90_900 });
    expect(b.machine.last).toMatchObject({ kind: "taken", at: taken });
    expect(b.machine.since).toBe(taken);
    expect(b.machine.age()).toBe(b.time - taken);
  });

  it("is shown, but not as live, unless more follow", async () => {
    const b = new Bench();
    b.machine.start();
    await settle();
    await b.offer.accept();
    b.peer.report.set("o", { type: "remote-outbound-rtp", timestamp: b.time, remoteTimestamp: b.time });
    b.peer.receiver.getSynchronizationSources = () => [{ rtpTimestamp: 900, captureTimestamp: b.time - 20_000 }];
    b.peer.stands();
    await b.pass(600);
    b.machine.frame({ rtpTimestamp: 900 });
    expect(b.now).toBe("frozen picture.none");
    for (let i = 1; i <= 20; i++) {
      await b.pass(100);
      b.machine.frame({ rtpTimestamp: 900 + i * 9000 });
    }
    expect(b.now).toBe("live"); // twenty seconds behind, and said to be
    expect(b.machine.age()).toBeGreaterThan(19_000);
  });
});

describe("a loss", () => {
  it("of the line says what the hub says, else what is known here", async () => {
    const b = new Bench();
    await b.live();
    b.peer.becomes("failed");
    await settle();
    expect(b.now).toBe("lost line.lost");
    await b.pass(600);
    await b.offer.accept();
    b.peer.stands();
    await b.pictures(100);
    b.ended = { status: 410, detail: "something that no version of ours has ever said" };
    b.peer.becomes("closed");
    await settle();
    expect(b.machine.state).toMatchObject({ name: "refused", cause: { code: "other", detail: "something that no version of ours has ever said" } });
  });
  it("is tried again later each time, with jitter, and soon again once it was live for long", async () => {
    const b = new Bench();
    const waits: number[] = [];
    const fail = async () => {
      await b.offer.refuse(0);
      expect(b.now).toBe("lost hub.unreachable");
      const s = b.machine.state;
      waits.push(s.name === "lost" ? s.retryAt - b.time : NaN);
      await b.pass(waits[waits.length - 1]! + 250);
    };
    b.machine.start();
    await settle();
    for (let i = 0; i < 7; i++) await fail();
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
    b.jitter = 0;
    await fail();
    expect(waits[7]).toBe(11_250);
    await b.offer.accept();
    b.peer.stands();
    await b.pictures(9000);
    b.peer.becomes("failed");
    await settle();
    const s = b.machine.state;
    expect(s.name === "lost" && s.retryAt - b.time).toBe(375);
  });
  it("is not waited out when there is reason to hope", async () => {
    const b = new Bench();
    b.machine.start();
    await settle();
    for (let i = 0; i < 5; i++) {
      await b.offer.refuse(0);
      if (i < 4) await b.pass(9000);
    }
    b.machine.nudge();
    await b.pass(600);
    expect(b.now).toContain("connecting");
  });
});

describe("a No", () => {
  const refused = async (status: number, code = "") => {
    const b = new Bench();
    b.machine.start();
    await settle();
    await b.offer.refuse(status, code ? { code, text: "in English" } : null);
    return b;
  };
  it("for good is not asked again", async () => {
    for (const [status, given, code] of [[401, "", "session"], [403, "", "role"], [404, "video_camera_unknown", "camera.none"], [404, "incident_unknown", "incident.none"], [406, "video_codec_missing", "codec"]] as const) {
      const b = await refused(status, given);
      expect(b.machine.state).toMatchObject({ name: "refused", cause: { code }, retryAt: null });
      await b.pass(120_000);
      expect(b.offers.length).toBe(1);
      b.machine.nudge();
      expect(b.now).toBe(`refused ${code}`);
      b.machine.again();
      await settle();
      expect(b.offers.length).toBe(2);
    }
  });
  it("that may change is asked again, in the words of the site", async () => {
    const b = await refused(503, "a_code_of_tomorrow");
    expect(b.machine.state).toMatchObject({ name: "refused", cause: { code: "other", coded: { code: "a_code_of_tomorrow", text: "in English" } } });
    await b.pass(9000);
    expect(b.offers.length).toBe(1);
    await b.pass(2000);
    expect(b.offers.length).toBe(2);
  });
});

describe("the ten minutes of a view", () => {
  it("are told in the last, and over by themselves", async () => {
    const b = new Bench();
    await b.live();
    expect(b.machine.left).toBeNull();
    await b.pictures(540_000, 400);
    expect(b.machine.left).toBeGreaterThan(58_000);
    await b.pictures(61_000, 400);
    expect(b.now).toBe("over");
    expect(b.removed.length).toBe(1);
    await b.pass(60_000);
    expect(b.offers.length).toBe(1); // nobody asked for more
    b.machine.again();
    await settle();
    expect(b.offers.length).toBe(2);
  });
  it("are renewed without a gap", async () => {
    const b = new Bench();
    await b.live();
    await b.pictures(541_000, 400);
    const old = b.peer;
    b.machine.again();
    b.machine.again(); // a second press changes nothing
    await settle();
    expect(b.offers.length).toBe(2);
    expect(old.closed).toBe(false);
    await b.pictures(400);
    await b.offer.accept("/whep/a/b/new");
    b.peer.stands();
    await settle();
    expect(old.closed).toBe(true);
    expect(b.removed).toEqual(["/whep/a/b/1"]);
    await b.pictures(400);
    expect(b.now).toBe("live");
    expect(b.states.filter((s) => s === "live").length).toBe(1);
    expect(b.machine.left).toBeNull();
    expect(b.tracks).toBe(2);
  });
  it("end as they would have when they cannot be renewed", async () => {
    const b = new Bench();
    await b.live();
    await b.pictures(541_000, 400);
    b.machine.again();
    await settle();
    await b.offer.refuse(503, { code: "video_viewers_full", params: { count: "500" }, text: "x" });
    expect(b.machine.renewing).toBe(false);
    expect(b.now).toBe("live");
    await b.pictures(60_000, 400);
    expect(b.now).toBe("over");
  });
  it("may be over at the hub a little earlier", async () => {
    const b = new Bench();
    await b.live();
    b.ended = { status: 410, reason: { code: "video_time_limit", params: { seconds: "600" }, text: "x" } };
    b.peer.becomes("closed");
    await settle();
    expect(b.now).toBe("over");
  });
});

describe("the end", () => {
  it("is told to the hub, and leaves nothing behind", async () => {
    const b = new Bench();
    await b.live();
    b.machine.stop();
    expect(b.removed).toEqual(["/whep/a/b/1"]);
    await settle();
    expect(b.peer.closed).toBe(true);
    expect(b.timers).toBe(0);
    expect(b.now).toBe("idle");
  });
  it("is told to the hub also when its answer comes later", async () => {
    const b = new Bench();
    b.machine.start();
    await settle();
    b.machine.stop();
    expect(b.removed).toEqual([]);
    await b.offer.accept("/whep/a/b/late");
    expect(b.removed).toEqual(["/whep/a/b/late"]);
    expect(b.now).toBe("idle");
  });
  it("of a view that waits its turn asks nobody", async () => {
    const b = new Bench();
    const never = new AbortController();
    const give = await Promise.all([0, 1, 2, 3].map(() => b.turns.take(0, never.signal)));
    b.machine.start();
    await b.pass(5000);
    expect(b.now).toBe("connecting turn");
    b.machine.stop();
    for (const g of give) g();
    await settle();
    expect(b.offers.length).toBe(0);
  });
  it("gives its turn to the next, the lowest priority first", async () => {
    const b = new Bench();
    const never = new AbortController();
    const give = await Promise.all([0, 1, 2, 3].map(() => b.turns.take(0, never.signal)));
    const order: number[] = [];
    for (const p of [3, 1, 2, 1]) void b.turns.take(p, never.signal).then((g) => { order.push(p); g(); });
    give[0]!();
    give[0]!(); // twice is once
    await settle();
    expect(order).toEqual([1, 1, 2, 3]);
  });
});

describe("a relay elsewhere", () => {
  const relay = "https://relay.example";
  it("is used as the hub names it, with its credential", async () => {
    const b = new Bench();
    b.relay = relay;
    b.machine.start();
    await settle();
    expect(b.sources).toEqual(["/api/v1/devices/a/b/live?reason=test"]);
    expect([b.offer.path, b.offer.credential]).toEqual([`${relay}/whep/a/b?reason=test`, "credential 1"]);
    await b.offer.accept(`${relay}/whep/a/b/1`);
    b.peer.stands();
    await b.pictures(400);
    b.machine.stop();
    expect([b.removed, b.with]).toEqual([[`${relay}/whep/a/b/1`], ["credential 1"]]);
  });
  it("is asked with a new credential where it no longer accepts one, and nobody is signed out", async () => {
    const b = new Bench();
    b.relay = relay;
    b.machine.start();
    await settle();
    await b.offer.refuse(401);
    expect(b.now).toBe("lost relay.expired");
    await b.pass(1000);
    expect(b.offer.credential).toBe("credential 2");
  });
  it("is named where it cannot be reached", async () => {
    const b = new Bench();
    b.relay = relay;
    b.machine.start();
    await settle();
    await b.offer.refuse(0);
    expect(b.now).toBe("lost relay.unreachable");
    expect(b.machine.state).toMatchObject({ cause: { detail: "relay.example" } });
  });
  it("is not asked where the hub refuses the view", async () => {
    const b = new Bench();
    b.noSource = new ApiError(401, "no");
    b.machine.start();
    await settle();
    expect(b.now).toBe("refused session");
    expect(b.offers).toHaveLength(0);
  });
});
