// What the tiles of a page say together: a model of hubs, edges and lines that come and go at random.
import { describe, expect, it } from "vitest";
import { HubClock } from "./age";
import { Hub } from "./edge";
import { Reach } from "./line";
import { Machine, times } from "./machine";
import { Bench, FakePage, settle } from "../../tests/fixtures/page";

describe("a tile without a new frame", () => {
  it("is lost from its last frame to the next one, through every step of reconnecting", async () => {
    const b = new Bench();
    expect(b.machine.phase).toBe("idle");
    b.machine.start();
    await settle();
    expect([b.machine.phase, b.machine.step]).toEqual(["connecting", "hub"]);
    await b.offer.accept();
    b.peer.stands();
    await b.pictures(400);
    expect([b.machine.phase, b.machine.cause]).toEqual(["live", null]);
    const shown = b.machine.last!.shown;
    const phases = new Set<string>();
    const look = () => void phases.add(b.machine.phase);
    await b.pass(1500); // it stands still
    look();
    expect(b.machine.cause?.code).toBe("picture.none");
    b.peer.becomes("failed");
    await settle();
    look();
    await b.pass(1400);
    look();
    expect(b.machine.step).toBe("site");
    await b.offer.accept();
    look();
    b.peer.stands();
    await b.pass(3000);
    look();
    expect([...phases]).toEqual(["lost"]);
    expect(b.machine.last!.shown).toBe(shown);
    b.machine.frame({});
    expect(b.machine.phase).toBe("live");
  });
  it("that has never had one says so, and connects when it has failed at nothing yet", async () => {
    const b = new Bench();
    b.machine.start();
    await settle();
    await b.offer.refuse(503, { code: "video_edge_slow", params: { seconds: "10" }, text: "x" });
    expect([b.machine.phase, b.machine.cause?.code]).toEqual(["none", "site.slow"]);
  });
  it("is refused only where asking again is of no use", async () => {
    const b = new Bench();
    b.machine.start();
    await settle();
    await b.offer.refuse(403);
    expect([b.machine.phase, b.machine.cause?.code]).toEqual(["refused", "role"]);
    b.hub.link(false);
    expect([b.machine.phase, b.machine.cause?.code]).toEqual(["refused", "role"]);
  });
});

describe("the hub", () => {
  it("is named while it does not answer, and the site is not", async () => {
    const b = new Bench();
    b.machine.start();
    await b.pass(1000);
    expect(b.machine.step).toBe("site");
    b.hub.link(false);
    expect([b.machine.phase, b.machine.cause?.code, b.machine.step]).toEqual(["none", "hub.unreachable", "hub"]);
    b.hub.edge("a").online(false); // what was last known of the edge is not said now
    expect(b.machine.cause?.code).toBe("hub.unreachable");
    b.hub.link(true);
    expect(b.machine.cause?.code).toBe("site.offline");
  });
  it("is known to be away from the first request of any tile that gets no answer", async () => {
    const hub = new Hub();
    const said: string[] = [];
    const edges = [hub.edge("a"), hub.edge("b")];
    for (const edge of edges) edge.join({ changed: () => said.push(edge.cause?.code ?? "up"), nudge: () => said.push("nudged") });
    edges[0]!.failed({ code: "hub.unreachable" });
    expect(said).toEqual(["hub.unreachable", "hub.unreachable"]);
    edges[1]!.failed({ code: "line.lost" }); // says nothing of the hub
    expect(said).toHaveLength(2);
    edges[1]!.failed({ code: "camera.silent" }); // an answer
    expect(said.slice(2)).toEqual(["up", "nudged", "up", "nudged"]);
  });
});

/** A generator of numbers from 0 to 1 that is the same in each run. */
function numbers(seed: number): () => number {
  return () => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
    return seed / 0x7fffffff;
  };
}

interface Tile { machine: Machine; edge: string; page: FakePage; lostSince: number | null }

/** Four tiles of two edges with one hub; each has the network of its own that FakePage is, and all have one clock. */
class Wall {
  hub = new Hub();
  tiles: Tile[] = ["a", "a", "b", "b"].map((edge) => {
    const page = new FakePage();
    page.servers = [{ urls: "turn:hub" }]; // where WebRTC does not get through, TURN does
    const machine: Machine = new Machine(page.environment, { source: `/api/v1/devices/${edge}/c/live?reason=x`, priority: 0, edge: this.hub.edge(edge) }, { changed: () => {}, show: () => {} },
      page.turns, new HubClock(), new Reach(false), times, () => 0);
    return { machine, edge, page, lostSince: null };
  });
  linkStands = true;
  online: Record<string, boolean> = { a: true, b: true };

  async pass(ms: number) { for (const t of this.tiles) await t.page.pass(ms); }

  /** What must hold at any time. */
  check(step: string) {
    for (const t of this.tiles) {
      const { phase, cause, state, last } = t.machine;
      expect(phase === "live", step).toBe(state.name === "live");
      if (last !== null) expect(["lost", "live", "refused", "over", "idle"], step).toContain(phase);
      const edge = this.hub.edge(t.edge);
      if (phase === "lost" || phase === "none") {
        if (edge.cause !== null) expect(cause, step).toEqual(edge.cause); // all tiles of an edge say the same
        if (this.hub.away !== null) {
          expect(cause?.code, step).toBe("hub.unreachable");
          expect([null, "hub"], step).toContain(t.machine.step);
        }
      }
      if (!this.linkStands) expect(this.hub.away, step).not.toBeNull();
      if (this.linkStands && this.hub.away === null && !this.online[t.edge]) expect(edge.cause?.code, step).toMatch(/^site\./);
      // Once it is lost, only a new frame makes it live: the time of the last one is there until then.
      if (phase === "lost") t.lostSince ??= last!.shown;
      else if (phase === "live") {
        if (t.lostSince !== null) expect(last!.shown, step).toBeGreaterThan(t.lostSince);
        t.lostSince = null;
      }
    }
  }
}

describe("any order of events", () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])("leaves every tile true and its edge of one voice, %d", async (seed) => {
    const next = numbers(seed * 7919);
    const any = <T>(all: readonly T[]): T => all[Math.floor(next() * all.length) % all.length]!;
    const wall = new Wall();
    for (const t of wall.tiles) t.machine.start();
    await settle();
    const refusals: [number, string][] = [[0, ""], [503, "video_edge_offline"], [503, "video_edge_silent"], [503, "video_viewers_full"], [502, "camera_not_online"], [503, "video_edge_slow"]];
    const events: [string, () => unknown][] = [
      ["time", () => wall.pass(next() * 3000)],
      ["link", () => { wall.linkStands = next() < 0.5; wall.hub.link(wall.linkStands); }],
      ["edge", () => { const e = any(["a", "b"]); wall.online[e] = next() < 0.6; wall.hub.edge(e).online(wall.online[e]); }],
      ["accept", () => any(wall.tiles).page.offers.at(-1)?.accept()],
      ["refuse", () => { const [status, code] = any(refusals); return any(wall.tiles).page.offers.at(-1)?.refuse(status, code ? { code, text: "x", params: { seconds: "10" } } : null); }],
      ["stand", () => any(wall.tiles).page.peers.at(-1)?.stands()],
      ["fail", () => any(wall.tiles).page.peers.at(-1)?.becomes("failed")],
      ["frame", () => any(wall.tiles).machine.frame({})],
      ["frames", async () => { const t = any(wall.tiles); for (let n = 0; n < 10; n += 1) { await wall.pass(100); t.machine.frame({}); } }],
    ];
    for (let n = 0; n < 400; n += 1) {
      const [name, run] = any(events);
      await run();
      await settle();
      wall.check(`event ${n}: ${name}`);
    }
    // When all is well again, all play again by themselves.
    wall.linkStands = true;
    wall.hub.link(true);
    for (const e of ["a", "b"]) {
      wall.online[e] = true;
      wall.hub.edge(e).online(true);
    }
    for (let n = 0; n < 400 && wall.tiles.some((t) => t.machine.phase !== "live"); n += 1) {
      for (const t of wall.tiles) {
        await t.page.offers.at(-1)?.accept();
        if (t.machine.step === "line") t.page.peers.at(-1)!.stands();
        t.machine.frame({});
      }
      await wall.pass(200);
      wall.check(`mending ${n}`);
    }
    for (const t of wall.tiles) expect(t.machine.phase, JSON.stringify(t.machine.state)).toBe("live");
    for (const t of wall.tiles) t.machine.stop();
    expect(wall.tiles.map((t) => t.page.timers)).toEqual([0, 0, 0, 0]);
  });
});
