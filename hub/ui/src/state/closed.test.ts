// The list of closed incidents against a plain model: random pages, changes, closings, reopenings and resets.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { make } from "../../tests/fixtures/incident";
import type { Incident } from "../api/types";
import { order } from "../views/incidents/filter";
import { ClosedList } from "./closed.svelte";
import { incidents } from "./incidents.svelte";
import { Link, link } from "./link.svelte";
import { pageSize } from "./pages.svelte";

const newest = order({ sort: "occurred", asc: false })!;

/** A hub with incidents, of which it lists the closed ones. */
class Hub {
  all = new Map<string, Incident>();
  asked = 0;
  #say!: (i: Incident) => void;
  #fresh!: () => void;

  constructor() {
    vi.spyOn(incidents, "fetchPage").mockImplementation(async (q) => {
      this.asked += 1;
      const list = this.closed();
      const from = q.next ? list.findIndex((i) => newest(JSON.parse(q.next!) as Incident, i) < 0) : 0;
      const page = from < 0 ? [] : list.slice(from, from + q.limit!);
      return { incidents: page, next: page.length === q.limit ? JSON.stringify(page.at(-1)) : null };
    });
    vi.spyOn(incidents, "onChanged").mockImplementation((f) => {
      this.#say = (i) => f(i, undefined);
      return () => {};
    });
    vi.spyOn(link as Link, "onFresh").mockImplementation((f) => {
      this.#fresh = f;
      return () => {};
    });
  }

  #sorted: Incident[] | null = null;
  closed(): Incident[] { return (this.#sorted ??= [...this.all.values()].filter((i) => i.state === "closed").sort(newest)); }

  set(i: Incident, tell = true): void {
    this.all.set(i.id, i);
    this.#sorted = null;
    if (tell) this.#say(i);
  }

  reset(): void { this.#fresh(); }
}

let hub: Hub;
let list: ClosedList;
const filter = { query: {}, matches: () => true, compare: newest };
const fetch = (key = "k", signal = new AbortController().signal) => list.fetch(key, () => filter, signal);
const at = (minute: number) => new Date(Date.UTC(2026, 0, 1) + minute * 60_000).toISOString();
const closedOne = (n: number, part: Partial<Incident> = {}) => make({ id: `i${n}`, state: "closed", opened_at: at(n), ...part });

beforeEach(() => {
  hub = new Hub();
  list = new ClosedList();
  list.start();
});
afterEach(() => vi.restoreAllMocks());

describe("the list of closed incidents", () => {
  it("comes page by page, and ends", async () => {
    for (let n = 0; n < 250; n += 1) hub.set(closedOne(n), false);
    await fetch();
    expect([list.rows.length, list.complete, list.more("k")]).toEqual([pageSize, false, true]);
    await fetch();
    await fetch();
    expect([list.rows.length, list.complete, list.more("k"), hub.asked]).toEqual([250, true, false, 3]);
    expect(list.more("other")).toBe(true);
  });

  it("lets go of the one before", async () => {
    for (let n = 0; n < 250; n += 1) hub.set(closedOne(n), false);
    for (let n = 0; n < 3; n += 1) await fetch();
    await fetch("other");
    expect([list.key, list.rows.length, list.pages]).toEqual(["other", pageSize, 1]);
  });

  it("does not grow beyond its bound", async () => {
    const most = 450;
    list = new ClosedList(most);
    list.start();
    for (let n = 0; n < most + 300; n += 1) hub.set(closedOne(n), false);
    while (list.more("k")) await fetch();
    expect([list.rows.length, list.full, list.complete]).toEqual([most, true, false]);
    hub.set(closedOne(most + 300));
    expect([list.rows.length, list.rows[0]!.id]).toEqual([most, `i${most + 300}`]);
  });

  it("takes no answer that came too late", async () => {
    hub.set(closedOne(1), false);
    const control = new AbortController();
    const late = fetch("late", control.signal);
    control.abort();
    await late;
    expect(list.pages).toBe(0);
    const before = fetch();
    hub.reset();
    await before;
    expect([list.pages, list.rows.length]).toEqual([0, 0]);
  });

  it("goes on with the page that did not come", async () => {
    hub.set(closedOne(1), false);
    vi.mocked(incidents.fetchPage).mockRejectedValueOnce(new Error("away"));
    await expect(fetch()).rejects.toThrow("away");
    expect([list.more("k"), list.rows.length]).toEqual([true, 0]);
    await fetch();
    expect([list.complete, list.rows.length]).toEqual([true, 1]);
  });

  it("agrees with the hub after random events", { timeout: 60_000 }, async () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      let state = seed;
      const random = (n: number) => ((state = (state * 1_103_515_245 + 12_345) % 2_147_483_648), Math.floor((state / 2_147_483_648) * n));
      hub = new Hub();
      list = new ClosedList();
      const end = list.start();
      for (let n = 0; n < 150; n += 1) hub.set(closedOne(n, random(3) === 0 ? { state: "open" } : {}), false);
      for (let step = 0; step < 40; step += 1) {
        const n = random(200);
        const had = hub.all.get(`i${n}`);
        const next = closedOne(n, { state: random(2) ? "closed" : "open", version: (had?.version ?? 0) + 1 });
        switch (random(8)) {
          case 0: if (list.more("k")) await fetch(); break;
          case 1: hub.set(next, false); hub.reset(); break; // what happens during a break is not told
          case 2: { const answer = list.more("k") ? fetch() : undefined; hub.set(next); await answer; break; }
          default: hub.set(next);
        }
      }
      while (list.more("k")) await fetch();
      const want = hub.closed().map((i) => `${i.id} ${i.version}`);
      expect(list.rows.map((i) => `${i.id} ${i.version}`), `seed ${seed}`).toEqual(want);
      end();
      vi.restoreAllMocks();
    }
  });
});
