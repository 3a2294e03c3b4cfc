import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Device, Edge, Incident } from "../api/types";
import { devices, silentFirst } from "./devices.svelte";
import { incidents, isNewer, keptClosed, worstFirst } from "./incidents.svelte";
import { link } from "./link.svelte";

const make = (id: string, more: Partial<Incident> = {}): Incident => ({
  id, edge: "yard", device: "gate", rule: "yard", kind: "zone", title: "", severity: "moderate", state: "open", condition: "open", source: "edge",
  opened_at: "2026-05-03T06:00:00Z", received_at: "2026-05-03T06:00:00Z", updated_at: "2026-05-03T06:00:00Z", closed_at: null, place: null,
  count: 1, version: 1, assignee: "", evidence: [], ...more,
}) as Incident;

const device = (name: string, more: Partial<Device> = {}): Device =>
  ({ edge: "yard", name, kind: "camera", state: "online", cause: "", since: null, place: null, rules: [], ...more }) as Device;

/** The hub behind fetch: lists that a test sets, and a stream that it speaks through. */
class Hub {
  unclosed: Incident[] = [];
  closed: Incident[] = [];
  devices: Device[] = [];
  edges: Edge[] = [];
  asked: string[] = [];
  /** runs while the list `of` is on its way, after the hub has read it */
  during: (() => Promise<void>) | null = null;
  of = "/api/v1/incidents";
  #out: ReadableStreamDefaultController<Uint8Array> | null = null;

  fetch = async (path: RequestInfo | URL): Promise<Response> => {
    const url = new URL(String(path), "http://hub");
    this.asked.push(url.pathname + url.search);
    if (url.pathname === "/api/v1/stream") return new Response(new ReadableStream({ start: (out) => void (this.#out = out) }));
    const answer = this.#answer(url);
    const during = this.during;
    if (during && url.pathname === this.of) {
      this.during = null;
      await during();
    }
    return answer ? new Response(JSON.stringify(answer)) : new Response("{}", { status: 404 });
  };

  #answer(url: URL): unknown {
    if (url.pathname === "/api/v1/devices") return this.#devicePage(url);
    if (url.pathname === "/api/v1/edges") return { edges: this.edges, next: null };
    if (url.pathname !== "/api/v1/incidents") return [...this.unclosed, ...this.closed].find((i) => url.pathname === `/api/v1/incidents/${i.id}`);
    const ids = url.searchParams.get("ids")?.split(",");
    if (ids) return { incidents: [...this.unclosed, ...this.closed].filter((i) => ids.includes(i.id)), next: null };
    const all = url.searchParams.get("state") === "closed" ? this.closed : this.unclosed;
    const from = Number(url.searchParams.get("next") ?? 0);
    const limit = Number(url.searchParams.get("limit"));
    return { incidents: all.slice(from, from + limit), next: from + limit < all.length ? String(from + limit) : null };
  }

  #devicePage(url: URL): unknown {
    const edge = url.searchParams.get("edge");
    const all = this.devices.filter((d) => !edge || d.edge === edge);
    const from = Number(url.searchParams.get("next") ?? 0);
    const limit = Number(url.searchParams.get("limit"));
    return { devices: all.slice(from, from + limit), next: from + limit < all.length ? String(from + limit) : null };
  }

  async say(kind: string, id: number, data: unknown): Promise<void> {
    this.#out!.enqueue(new TextEncoder().encode(`id: ${id}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`));
    for (let n = 0; n < 20; n += 1) await Promise.resolve(); // the stream's own steps; no clock is needed
      }

  async greet(): Promise<void> {
    await vi.advanceTimersByTimeAsync(1);
    this.#out!.enqueue(new TextEncoder().encode(": welcome\nid: 1\n\n"));
    await vi.advanceTimersByTimeAsync(300);
  }
}

let hub: Hub;
let ends: (() => void)[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  hub = new Hub();
  vi.stubGlobal("fetch", hub.fetch);
  ends = [incidents.start(), devices.start()];
  link.start();
});
afterEach(() => {
  link.stop();
  for (const end of ends) end();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const ids = () => incidents.sorted.map((i) => i.id);

describe("order", () => {
  it("is what waits, then what goes on, then the worst, then the newest", () => {
    const list = [
      make("old", { severity: "severe", opened_at: "2026-05-03T06:00:00Z" }),
      make("closed", { severity: "extreme", state: "closed" }),
      make("mild", { severity: "minor", opened_at: "2026-05-03T09:00:00Z" }),
      make("new", { severity: "severe", opened_at: "2026-05-03T06:00:00.5Z" }),
      make("worst", { severity: "extreme" }),
      make("ended", { severity: "extreme", condition: "closed" }),
    ];
    expect(list.sort(worstFirst).map((i) => i.id)).toEqual(["worst", "new", "old", "mild", "ended", "closed"]);
  });
  it("takes a newer version only", () => {
    expect(isNewer(make("a", { version: 2 }), make("a", { version: 1, updated_at: "2027-01-01T00:00:00Z" }))).toBe(false);
    expect(isNewer(make("a"), make("a", { updated_at: "2026-05-03T06:00:01Z" }))).toBe(true);
    expect(isNewer(make("a"), make("a"))).toBe(false);
  });
});

describe("incidents", () => {
  it("come from the list, page after page, without the closed ones", async () => {
    hub.unclosed = Array.from({ length: 750 }, (_, n) => make(`i${n}`));
    hub.closed = [make("c", { state: "closed" })];
    await hub.greet();
    expect(incidents.loading).toBe("all");
    expect(incidents.size).toBe(750);
    expect(hub.asked.some((a) => a.includes("state=closed"))).toBe(false);
    expect(hub.asked.filter((a) => a.includes("state=unclosed")).length).toBe(3);
  });

  it("tell of a change once, also of one's own whose answer comes before the stream does", async () => {
    const changes: string[] = [];
    const end = incidents.onChanged((i, before) => changes.push(`${before?.state} ${i.state} ${i.version}`));
    hub.unclosed = [make("a")];
    await hub.greet();
    const closed = make("a", { state: "closed", version: 2 });
    vi.stubGlobal("fetch", async (path: string, init?: RequestInit) => (init?.method === "POST" ? new Response(JSON.stringify(closed)) : hub.fetch(path)));
    await incidents.close("a", 1);
    await hub.say("incident", 2, closed);
    await hub.say("incident", 3, make("a", { state: "acknowledged", version: 3 }));
    expect(changes).toEqual(["open closed 2", "closed acknowledged 3"]);
    end();
  });

  it("announces what happens from now on, not what the lists bring", async () => {
    const arrived: string[] = [];
    const end = incidents.onArrived((i) => arrived.push(i.id));
    hub.unclosed = [make("before")];
    await hub.greet();
    await hub.say("incident", 2, make("now"));
    await hub.say("incident", 3, make("now", { version: 2 }));
    await hub.say("incident", 4, make("report", { source: "report", state: "acknowledged" })); // in hand from the start
    await hub.say("incident", 5, make("old", { source: "report", state: "acknowledged", version: 4 })); // has only come into sight
    end();
    expect(arrived).toEqual(["now", "report"]);
  });

  it("announces nothing old that changes while the lists are being fetched, and what is new once, whichever way it came first", async () => {
    const arrived: string[] = [];
    const end = incidents.onArrived((i) => arrived.push(i.id));
    hub.unclosed = [make("listed"), make("new")];
    hub.during = async () => {
      await hub.say("incident", 2, make("old", { version: 4 }));
      await hub.say("incident", 3, make("taken", { version: 1 }));
      await hub.say("incident", 4, make("taken", { version: 2, state: "acknowledged" }));
    };
    await hub.greet();
    await hub.say("incident", 5, make("new")); // the list was quicker
    await hub.say("incident", 6, make("listed", { version: 2 }));
    await hub.say("incident", 5, make("new"));
    end();
    expect(arrived).toEqual(["taken", "new"]);
  });

  it("lose nothing between the list and the stream", async () => {
    hub.unclosed = [make("a"), make("b")];
    // While the answer is on its way, a is acknowledged and c happens.
    hub.during = async () => {
      await hub.say("incident", 2, make("a", { version: 2, state: "acknowledged" }));
      await hub.say("incident", 3, make("c"));
    };
    await hub.greet();
    expect(incidents.get("a")?.state).toBe("acknowledged");
    expect(incidents.get("c")).toBeDefined();
    expect(incidents.size).toBe(3);
  });

  it("that were closed while nobody told are asked for after a reset, and gone ones go", async () => {
    hub.unclosed = [make("a"), make("b"), make("c")];
    await hub.greet();
    hub.unclosed = [make("c")];
    hub.closed = [make("a", { version: 5, state: "closed" })];
    await hub.say("reset", 900, {});
    await vi.advanceTimersByTimeAsync(4000);
    expect(incidents.get("a")?.state).toBe("closed");
    expect(incidents.get("b")).toBeUndefined();
    expect(ids()).toEqual(["c", "a"]);
  });

  it("of which 5,000 were closed meanwhile cost few requests, one at a time", async () => {
    const all = Array.from({ length: 5000 }, (_, n) => make(`i${n}`));
    hub.unclosed = all;
    await hub.greet();
    hub.unclosed = [];
    hub.closed = all.map((i) => ({ ...i, version: 2, state: "closed" }));
    hub.asked = [];
    let under = 0;
    let most = 0;
    const ask = hub.fetch;
    vi.stubGlobal("fetch", async (path: string) => {
      if (!path.includes("/incidents")) return ask(path);
      most = Math.max(most, (under += 1));
      try {
        return await ask(path);
      } finally {
        under -= 1;
      }
    });
    await hub.say("reset", 900, {});
    await vi.advanceTimersByTimeAsync(10_000);
    expect(incidents.sorted.every((i) => i.state === "closed")).toBe(true);
    expect(incidents.size).toBe(keptClosed);
    expect(hub.asked.filter((a) => a.includes("/incidents")).length).toBeLessThanOrEqual(51);
    expect(most).toBe(1);
  });

  it("that are closed are kept for a while, those that came last", async () => {
    await hub.greet();
    hub.unclosed = [make("open")];
    await hub.say("incident", 2, make("open"));
    for (let n = 0; n < keptClosed + 50; n += 1) await hub.say("incident", 3 + 2 * n, make(`c${n}`, { state: "closed" }));
    await hub.say("incident", 5000, make("c50", { state: "open", version: 2 })); // open again: it stays
    for (let n = 0; n < 10; n += 1) await hub.say("incident", 5001 + n, make(`d${n}`, { state: "closed" }));
    await vi.advanceTimersByTimeAsync(100);
    expect(incidents.get("open")).toBeDefined();
    expect(incidents.get("c50")?.state).toBe("open");
    expect(incidents.get("c49")).toBeUndefined();
    expect(incidents.get("d9")).toBeDefined();
    expect(incidents.sorted.filter((i) => i.state === "closed").length).toBe(keptClosed);
  });

  it("do not keep timelines", async () => {
    await hub.greet();
    await hub.say("incident", 2, make("a", { timeline: [] }));
    expect("timeline" in incidents.get("a")!).toBe(false);
  });

  it("forgets everything when the person signs out", async () => {
    hub.unclosed = [make("a")];
    await hub.greet();
    for (const end of ends.splice(0)) end();
    expect(incidents.size).toBe(0);
    expect(devices.loaded).toBe(false);
  });
});

describe("devices", () => {
  it("let the stream win over a list that was on its way", async () => {
    hub.devices = [device("a"), device("b")];
    hub.of = "/api/v1/devices";
    hub.during = async () => hub.say("device", 2, device("a", { state: "offline", cause: "no pictures for 10 s" }));
    await hub.greet();
    expect(devices.get("yard", "a")?.state).toBe("offline");
    expect(devices.size).toBe(2);
    expect(devices.silent.map((d) => d.name)).toEqual(["a"]);
  });

  it("that an edge no longer has go when it has told so", async () => {
    hub.devices = [device("a"), device("b")];
    await hub.greet();
    hub.devices = [device("a")];
    await hub.say("edge", 2, { name: "yard", state: "online" });
    await vi.advanceTimersByTimeAsync(4500);
    expect(devices.size).toBe(1);
    expect(devices.edge("yard")?.state).toBe("online");
  });

  it("of 1,000 edges that come back are fetched with a few requests; a heartbeat costs none", async () => {
    const edge = (n: number, more: Partial<Edge> = {}) => ({ name: `e${n}`, state: "offline", version: "1", ...more }) as Edge;
    const every = Array.from({ length: 1000 }, (_, n) => n);
    hub.edges = every.map((n) => edge(n));
    hub.devices = every.flatMap((n) => [device("a", { edge: `e${n}`, state: "unknown" }), device("b", { edge: `e${n}`, state: "unknown" })]);
    await hub.greet();
    hub.asked = [];
    hub.devices = hub.devices.map((d) => ({ ...d, state: "online" }));
    for (const n of every) await hub.say("edge", 2 + n, edge(n, { state: "online" }));
    await vi.advanceTimersByTimeAsync(30_000);
    expect(devices.silent.length).toBe(0);
    expect(hub.asked.filter((a) => a.includes("/devices")).length).toBeLessThanOrEqual(8);
    hub.asked = [];
    for (const n of every) await hub.say("edge", 2000 + n, edge(n, { state: "online", skew_ms: n }));
    await vi.advanceTimersByTimeAsync(30_000);
    expect(hub.asked.filter((a) => a.includes("/devices"))).toEqual([]);
  });

  it("are listed with the longest silent first", () => {
    const list = [
      device("ok"), device("late", { state: "offline", since: "2026-05-03T06:00:00Z" }), device("early", { state: "offline", since: "2026-05-02T06:00:00Z" }),
      device("who", { state: "unknown", since: null }),
    ];
    expect(list.sort(silentFirst).map((d) => d.name)).toEqual(["early", "late", "who", "ok"]);
  });
});
