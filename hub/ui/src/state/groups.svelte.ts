// The groups of closed incidents, page by page: how many each has by the hub's count, and the newest of them.
//
// What always holds: each group stands in the list once, where its newest closed incident that is known belongs, and
// shows none that is known not to be closed. Where a change may have made a count wrong, the hub is asked for that
// group again: once it has been quiet for a while, the list is the hub's.
import type { Incident, IncidentGroup } from "../api/types";
import { type IncidentQuery, incidents, isNewer } from "./incidents.svelte";
import { Pages, type ClosedFilter, pageSize } from "./pages.svelte";

/** The closed incidents of a group. */
export interface ClosedGroup {
  id: string;
  count: number; // by the hub
  known: readonly Incident[]; // the newest first; none when the one that was known was opened again
}

interface GroupPage {
  groups: IncidentGroup[];
  next: string | null;
}

const mostKnown = 100; // of a group; its row stays what it is while so many are closed
const mostStale = 1000; // groups that are asked for by ID; the list is fetched anew beyond that
const askAfter = 1000; // ms, for all that changes meanwhile
const askAgainAfter = 5000; // ms after a failure

export class ClosedGroups extends Pages<ClosedGroup, GroupPage> {
  /** grows when groups are to be asked for again, by refresh */
  due = $state(0);
  #stale = new Set<string>(); // groups that may have changed since they came, by ID
  #asked = new Set<string>(); // those that the hub is being asked for and that have not changed since
  #asking = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  protected request(query: IncidentQuery, next: string | undefined, signal: AbortSignal): Promise<GroupPage> {
    return incidents.fetchGroups({ ...query, next }, signal);
  }

  protected add(p: GroupPage): boolean {
    return this.#set(p.groups);
  }

  /** Asks the hub for the groups that may have changed. */
  async refresh(signal: AbortSignal): Promise<void> {
    const f = this.filter;
    const ids = [...this.#stale].slice(0, pageSize);
    if (!f || ids.length === 0) return;
    for (const id of ids) this.#stale.delete(id);
    this.#asked = new Set(ids);
    this.#asking = true;
    let failed = true;
    try {
      const { groups } = await incidents.fetchGroups({ ...f.query, state: "closed", ids: ids.join(","), limit: pageSize }, signal);
      failed = signal.aborted;
      if (!failed && this.filter === f) this.#set(groups, new Set(ids));
    } finally {
      this.#asking = false;
      if (this.filter === f) {
        if (failed) for (const id of ids) this.#stale.add(id);
        if (this.#stale.size > 0) this.#later(failed ? askAgainAfter : askAfter);
      }
    }
  }

  protected take(i: Incident, before: Incident | undefined): void {
    const f = this.filter;
    const id = i.group || i.id;
    const group = this.rows.find((g) => g.id === id);
    if (!f || (!group && !f.matches(i))) return;
    const is = i.state === "closed";
    const was = before ? before.state === "closed" : !is && i.version === 1 ? false : undefined;
    // A group that has not come yet may have moved up, out of the pages that are still to come.
    if (was !== is || (!group && !is && !this.complete)) this.#mark(id);
    if (!group) {
      if (is && was !== true) this.#place({ id, count: 1, known: [i] });
      return;
    }
    const had = group.known.find((k) => k.id === i.id);
    if (had && !isNewer(had, i)) return;
    const known = group.known.filter((k) => k !== had);
    const count = group.count + (was === undefined ? 0 : Number(is) - Number(was));
    if (is && (had || was !== true)) known.push(i);
    if (count > 0) this.#place({ id, count, known: known.sort(f.compare).slice(0, mostKnown) });
    else this.rows = this.rows.filter((g) => g.id !== id);
  }

  protected override begin(key: string, filter: ClosedFilter | null): void {
    super.begin(key, filter);
    this.#forgetStale();
  }

  protected override again(): void {
    super.again();
    this.#forgetStale();
  }

  #forgetStale(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#stale.clear();
  }

  #mark(id: string): void {
    this.#asked.delete(id);
    this.#stale.add(id);
    if (this.#stale.size > mostStale) this.again();
    else this.#later(askAfter);
  }

  /** One request at a time: the next one waits for the answer. */
  #later(ms: number): void {
    if (this.#asking || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.due += 1;
    }, ms);
  }

  /** Takes the hub's word for groups; those of asked that it does not give are gone. */
  #set(groups: readonly IncidentGroup[], asked: ReadonlySet<string> = new Set()): boolean {
    const f = this.filter!;
    const had = new Map(this.rows.map((g) => [g.id, g]));
    const rows = new Map(had);
    for (const id of asked) if (this.#asked.has(id)) rows.delete(id);
    for (const g of groups) {
      const newest = g.newest as Incident;
      // While it was on its way, what is newer may have been closed; otherwise that is closed no longer.
      const unchanged = asked.has(g.id) && this.#asked.has(g.id);
      const before = had.get(g.id)?.known.filter((i) => !unchanged || f.compare(i, newest) >= 0) ?? [];
      const same = before.find((i) => i.id === newest.id);
      const known = newest.state === "closed" ? [...before.filter((i) => i !== same), same && isNewer(newest, same) ? same : newest] : before;
      rows.set(g.id, { id: g.id, count: g.closed, known: known.sort(f.compare) });
      if (newest.state !== "closed") this.#mark(g.id); // it was opened again between two queries of the hub
    }
    this.rows = this.#sort([...rows.values()]);
    return rows.size <= this.most;
  }

  #place(group: ClosedGroup): void {
    this.rows = this.#sort([...this.rows.filter((g) => g.id !== group.id), group]);
  }

  #sort(rows: ClosedGroup[]): ClosedGroup[] {
    const compare = this.filter!.compare;
    return rows.sort((a, b) => (a.known[0] && b.known[0] ? compare(a.known[0], b.known[0]) : Number(!a.known[0]) - Number(!b.known[0]))).slice(0, this.most);
  }
}

export const closedGroups = new ClosedGroups();
