// The groups of closed incidents against a plain model of the hub: random pages, refreshes, changes that are told
// with or without what was before, closings, reopenings, resets, and answers that are older than what was told.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { make } from "../../tests/fixtures/incident";
import type { Incident, IncidentGroup } from "../api/types";
import { order } from "../views/incidents/filter";
import { ClosedGroups } from "./groups.svelte";
import { incidents } from "./incidents.svelte";
import { Link, link } from "./link.svelte";
import { pageSize } from "./pages.svelte";

const newest = order({ sort: "occurred", asc: false })!;
type Position = [at: number, id: string];
const at = (minute: number) => new Date(Date.UTC(2026, 0, 1) + minute * 60_000).toISOString();
const one = (n: number, group: string, part: Partial<Incident> = {}) => make({ id: `i${n}`, group, state: "closed", opened_at: at(n), ...part });

/** A hub with incidents, of which it lists the groups that have closed ones, by their newest incident of any state. */
class Hub {
  all = new Map<string, Incident>();
  asked: { ids?: string | undefined; next?: string | undefined }[] = [];
  late: Promise<void> | null = null; // answers that are ready wait for it
  #tell!: (i: Incident, before?: Incident) => void;
  #fresh!: () => void;

  constructor() {
    vi.spyOn(incidents, "fetchGroups").mockImplementation(async (q) => {
      this.asked.push(q);
      const ids = q.ids?.split(",");
      const after = q.next ? (JSON.parse(q.next) as Position) : null;
      const list = this.groups().filter((g) => (!ids || ids.includes(g.id)) && (!after || before(after, position(g))));
      const page = list.slice(0, q.limit!);
      await this.late;
      return { groups: page, next: page.length === q.limit ? JSON.stringify(position(page.at(-1)!)) : null };
    });
    vi.spyOn(incidents, "onChanged").mockImplementation((f) => {
      this.#tell = f;
      return () => {};
    });
    vi.spyOn(link as Link, "onFresh").mockImplementation((f) => {
      this.#fresh = f;
      return () => {};
    });
  }

  groups(): IncidentGroup[] {
    const members = new Map<string, Incident[]>();
    for (const i of [...this.all.values()].sort(newest)) members.set(i.group!, [...(members.get(i.group!) ?? []), i]);
    return [...members].flatMap(([id, all]) => {
      const closed = all.filter((i) => i.state === "closed");
      return closed.length === 0 ? [] : [{ id, closed: closed.length, newest: closed[0], last_at: all[0]!.opened_at } as IncidentGroup];
    }).sort((a, b) => (before(position(a), position(b)) ? -1 : 1));
  }

  /** What the list shows of them. */
  shown(): string[] {
    return this.groups().sort((a, b) => newest(a.newest as Incident, b.newest as Incident)).map((g) => `${g.id} ${g.closed} ${g.newest.id} ${g.newest.version}`);
  }

  set(i: Incident, how: "told" | "from nowhere" | "untold" = "told"): void {
    const had = this.all.get(i.id);
    this.all.set(i.id, i);
    if (how !== "untold") this.#tell(i, how === "told" ? had : undefined);
  }

  reset(): void { this.#fresh(); }
}
const position = (g: IncidentGroup): Position => [Date.parse(g.last_at), g.id];
const before = (a: Position, b: Position) => a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]);

let hub: Hub;
let list: ClosedGroups;
let end: () => void;
const filter = { query: {}, matches: () => true, compare: newest };
const never = new AbortController().signal;
const fetch = (key = "k") => list.fetch(key, () => ({ ...filter }), never);
const shown = () => list.rows.map((g) => `${g.id} ${g.count} ${g.known[0]?.id} ${g.known[0]?.version}`);
let refreshed = 0;
/** As the view does: asks again when groups are due. */
async function quiet(): Promise<void> {
  await vi.advanceTimersByTimeAsync(10_000);
  while (list.due !== refreshed) {
    refreshed = list.due;
    await list.refresh(never).catch(() => {});
    await vi.advanceTimersByTimeAsync(10_000);
  }
}

function begin(): void {
  hub = new Hub();
  list = new ClosedGroups();
  refreshed = 0;
  end = list.start();
}

beforeEach(() => {
  vi.useFakeTimers();
  begin();
});
afterEach(() => {
  end();
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("the groups of closed incidents", () => {
  it("are one row each, with the hub's count, page by page", async () => {
    for (let n = 0; n < 1000; n += 1) hub.set(one(n, "noisy"), "untold");
    for (let n = 0; n < 120; n += 1) hub.set(one(1000 + n, `g${n}`), "untold");
    await fetch();
    expect([list.rows.length, list.complete]).toEqual([pageSize, false]);
    await fetch();
    expect([list.rows.length, list.complete, hub.asked.length]).toEqual([121, true, 2]);
    expect(shown().at(-1)).toBe("noisy 1000 i999 1");
  });

  it("count what is closed and opened again at once, and ask only where they do not know", async () => {
    for (let n = 0; n < 10; n += 1) hub.set(one(n, "g"), "untold");
    hub.set(one(10, "g", { state: "open" }), "untold");
    await fetch();
    hub.set(one(11, "g", { state: "open" }));
    await quiet();
    expect(hub.asked.length).toBe(1); // what opens closes nothing
    hub.set(one(10, "g", { version: 2 }));
    expect(shown()).toEqual(["g 11 i10 2"]);
    hub.set(one(10, "g", { state: "acknowledged", version: 3 }));
    expect(shown()).toEqual(["g 10 i9 1"]);
    hub.set(one(9, "g", { state: "open", version: 2 }), "from nowhere");
    expect(shown()).toEqual(["g 10 undefined undefined"]); // nothing that is not closed is shown
    await quiet();
    expect(shown()).toEqual(["g 9 i8 1"]);
    expect(hub.asked.slice(1).map((q) => q.ids)).toEqual(["g"]); // all of that in one request
  });

  it("ask again after a failure, and take no answer for another list", async () => {
    hub.set(one(1, "g"), "untold");
    await fetch();
    hub.set(one(2, "g"), "from nowhere");
    vi.mocked(incidents.fetchGroups).mockRejectedValueOnce(new Error("away"));
    await quiet();
    expect(shown()).toEqual(["g 2 i2 1"]);
    hub.set(one(3, "g"), "from nowhere");
    let answer!: () => void;
    hub.late = new Promise((done) => (answer = done));
    const asking = list.refresh(never);
    hub.late = null;
    hub.all.clear();
    await fetch("other");
    answer();
    await asking;
    expect([list.key, shown()]).toEqual(["other", []]);
  });

  it("keep what was told while an older answer was on its way, and no incident that the hub has no more", async () => {
    for (let n = 0; n < 3; n += 1) hub.set(one(n, "g"), "untold");
    await fetch();
    hub.set(one(3, "g"), "from nowhere");
    let answer!: () => void;
    hub.late = new Promise((done) => (answer = done));
    const asking = list.refresh(never);
    hub.late = null;
    hub.set(one(3, "g", { version: 2 })); // somebody has written a note
    answer();
    await asking;
    expect(shown()).toEqual(["g 4 i3 2"]);
    hub.set(one(2, "g", { version: 2 }), "from nowhere");
    hub.late = new Promise((done) => (answer = done));
    const again = list.refresh(never);
    hub.late = null;
    hub.set(one(4, "g", { state: "open" }));
    hub.set(one(4, "g", { version: 2 }));
    answer();
    await again;
    expect(shown()[0]).toContain(" i4 2"); // the row does not go back
    for (const id of ["i4", "i3"]) hub.all.delete(id); // by retention, which tells nobody
    hub.set(one(0, "g", { version: 2 }), "from nowhere");
    await quiet();
    expect(shown()).toEqual(["g 3 i2 2"]);
  });

  it("are fetched anew when too many may have changed", async () => {
    hub.set(one(1, "g"), "untold");
    await fetch();
    for (let n = 0; n <= 1000; n += 1) hub.set(one(n, `s${n}`), "from nowhere");
    expect([list.pages, list.round]).toEqual([0, 1]);
  });

  it("agree with the hub after random events", { timeout: 120_000 }, async () => {
    for (let seed = 1; seed <= 60; seed += 1) {
      let state = seed;
      const random = (n: number) => ((state = (state * 1_103_515_245 + 12_345) % 2_147_483_648), Math.floor((state / 2_147_483_648) * n));
      begin();
      for (let n = 0; n < 400; n += 1) hub.set(one(n, `g${random(220)}`, random(3) === 0 ? { state: "open" } : {}), "untold");
      for (let step = 0; step < 60; step += 1) {
        const n = random(450);
        const had = hub.all.get(`i${n}`);
        const next = one(n, had?.group ?? `g${random(230)}`, { state: had && random(2) ? "closed" : "open", version: (had?.version ?? 0) + 1 });
        const change = () => hub.set(next, had && random(3) === 0 ? "from nowhere" : "told");
        switch (random(9)) {
          case 0: if (list.more("k")) await fetch(); break;
          case 1: if (random(3) === 0) { hub.set(next, "untold"); hub.reset(); } break; // what happens during a break is not told
          case 2: case 3: { // told before an answer arrives that is older
            let answer!: () => void;
            hub.late = new Promise((done) => (answer = done));
            const asking = random(2) && list.more("k") ? fetch() : list.refresh(never);
            change();
            hub.late = null;
            if (random(2)) await vi.advanceTimersByTimeAsync(1500);
            answer();
            await asking;
            break;
          }
          case 4: await vi.advanceTimersByTimeAsync(1500); if (list.due !== refreshed) { refreshed = list.due; await list.refresh(never); } break;
          default: change();
        }
        for (const g of list.rows) for (const i of g.known) expect(i.state, `seed ${seed}`).toBe("closed");
        expect(new Set(list.rows.map((g) => g.id)).size, `seed ${seed}`).toBe(list.rows.length);
      }
      while (list.more("k")) await fetch();
      await quiet();
      expect(shown(), `seed ${seed}`).toEqual(hub.shown());
      end();
      vi.restoreAllMocks();
    }
  });
});
