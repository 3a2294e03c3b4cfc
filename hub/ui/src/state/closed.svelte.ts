// A list of closed incidents as the hub filters and sorts it, fetched page by page while somebody scrolls. There
// is one at a time: another filter lets go of the one before, and no list grows beyond mostListed.
//
// What always holds: each incident stands in the list once, in its newest version that is known, and only as long
// as it is closed; what is closed after a page was fetched is added where it belongs.
import { api } from "../api/client";
import type { Incident, Severity } from "../api/types";
import { type IncidentPage, type IncidentQuery, incidents, isNewer } from "./incidents.svelte";
import { link } from "./link.svelte";

export const pageSize = 100; // incidents
export const mostListed = 10_000; // incidents; a hub may have a million

/** What a list has. */
export interface ClosedFilter {
  query: IncidentQuery; // without limit and next
  matches: (i: Incident) => boolean; // whether one that has just been closed belongs to it
  compare: (a: Incident, b: Incident) => number; // its order
}

export class ClosedList {
  /** in the hub's order; a new array after each change */
  rows: Incident[] = $state.raw([]);
  /** what was asked for */
  key = $state("");
  /** how many pages have come; 0: none, or all are to be fetched again */
  pages = $state(0);
  /** grows when what was fetched may be out of date */
  round = $state(0);
  /** the hub has no more */
  complete = $state(false);
  #filter: ClosedFilter | null = null;
  readonly #most: number;
  #next: string | null = null;
  #meanwhile: Map<string, Incident> | null = null; // what changes while a page is on its way, by ID

  constructor(most = mostListed) {
    this.#most = most;
  }

  /** It ends at mostListed, and the hub has more. */
  get full(): boolean { return !this.complete && this.rows.length >= this.#most; }

  /** Follows what others close. Returns what ends that and forgets everything. */
  start(): () => void {
    const ends = [incidents.onChanged((i, before) => this.#changed(i, before)), link.onFresh(() => this.#again())];
    return () => {
      for (const end of ends) end();
      this.#begin("", null);
    };
  }

  /** Whether another page of the list is to be fetched when its end is in sight. */
  more(key: string): boolean {
    return this.key !== key || this.pages === 0 || (!this.complete && !this.full);
  }

  /** Fetches the next page; the first one of a list that has another key, or that is out of date. */
  async fetch(key: string, filter: () => ClosedFilter, signal: AbortSignal): Promise<void> {
    const round = this.round;
    const first = this.key !== key || this.pages === 0;
    const f = first || !this.#filter ? filter() : this.#filter;
    const meanwhile = (this.#meanwhile = new Map<string, Incident>());
    let p: IncidentPage;
    try {
      p = await incidents.fetchPage({ ...f.query, state: "closed", limit: pageSize, next: first ? undefined : (this.#next ?? undefined) }, signal);
    } finally {
      if (this.#meanwhile === meanwhile) this.#meanwhile = null;
    }
    if (signal.aborted || round !== this.round) return;
    if (first) this.#begin(key, f);
    this.#add(p);
    for (const i of meanwhile.values()) this.#take(i, undefined);
  }

  #begin(key: string, filter: ClosedFilter | null): void {
    this.key = key;
    this.#filter = filter;
    this.rows = [];
    this.pages = 0;
    this.complete = false;
    this.#next = null;
  }

  #add(p: IncidentPage): void {
    const known = new Set(this.rows.map((i) => i.id));
    const rows = [...this.rows];
    for (const i of p.incidents) if (!known.has(i.id)) rows.push(i);
    this.rows = rows.slice(0, this.#most);
    this.#next = p.next;
    this.complete = p.next === null && rows.length <= this.#most;
    this.pages += 1;
  }

  #changed(i: Incident, before: Incident | undefined): void {
    this.#meanwhile?.set(i.id, i);
    this.#take(i, before);
  }

  #take(i: Incident, before: Incident | undefined): void {
    const at = this.rows.findIndex((r) => r.id === i.id);
    if (at >= 0) {
      if (!isNewer(this.rows[at]!, i)) return;
      this.rows = i.state === "closed" ? this.rows.with(at, i) : this.rows.toSpliced(at, 1);
      return;
    }
    const f = this.#filter;
    if (!f || i.state !== "closed" || before?.state === "closed" || !f.matches(i)) return;
    const below = this.rows.findIndex((r) => f.compare(i, r) < 0);
    if (below >= 0) this.rows = this.rows.toSpliced(below, 0, i).slice(0, this.#most);
    else if (this.complete) this.rows = [...this.rows, i].slice(0, this.#most);
  }

  /** What happened during a break is not known: the pages are fetched anew, and stand until then. */
  #again(): void {
    this.pages = 0;
    this.round += 1;
  }
}

export const closed = new ClosedList();

/** How many incidents of a state and severity the hub has. */
export interface Total {
  state: Incident["state"];
  severity: Severity;
  count: number;
}

export async function fetchTotals(signal: AbortSignal): Promise<Total[]> {
  return (await api.get<{ counts: Total[] }>("/api/v1/incidents/counts", { signal })).counts;
}
