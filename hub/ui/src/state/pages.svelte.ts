// A list that the hub filters, sorts and gives page by page, fetched while somebody scrolls, and kept right by what
// changes meanwhile. There is one at a time: another filter lets go of the one before.
import type { Incident } from "../api/types";
import { type IncidentQuery, incidents } from "./incidents.svelte";
import { link } from "./link.svelte";

export const pageSize = 100; // rows
export const mostListed = 10_000; // rows; a hub may have a million

/** What a list of closed incidents has. */
export interface ClosedFilter {
  query: IncidentQuery; // without limit and next
  matches: (i: Incident) => boolean; // whether one that has just been closed belongs to it
  compare: (a: Incident, b: Incident) => number; // its order
}

export abstract class Pages<Row, Page extends { next: string | null }> {
  /** in the hub's order; a new array after each change */
  rows: Row[] = $state.raw([]);
  /** what was asked for */
  key = $state("");
  /** how many pages have come; 0: none, or all are to be fetched again */
  pages = $state(0);
  /** grows when what was fetched may be out of date */
  round = $state(0);
  /** the hub has no more */
  complete = $state(false);
  protected filter: ClosedFilter | null = null;
  #next: string | null = null;
  #meanwhile: Map<string, Incident> | null = null; // what changes while a page is on its way, by ID

  constructor(protected readonly most = mostListed) {}

  /** Fetches a page; next is where the one before ended. */
  protected abstract request(query: IncidentQuery, next: string | undefined, signal: AbortSignal): Promise<Page>;
  /** Puts a page below the rows. Says whether all of it has room. */
  protected abstract add(p: Page): boolean;
  /** Follows a change; before is undefined where that is not known. */
  protected abstract take(i: Incident, before: Incident | undefined): void;

  /** It ends at its bound, and the hub has more. */
  get full(): boolean { return !this.complete && this.rows.length >= this.most; }

  /** Follows what others close. Returns what ends that and forgets everything. */
  start(): () => void {
    const ends = [
      incidents.onChanged((i, before) => {
        this.#meanwhile?.set(i.id, i);
        this.take(i, before);
      }),
      link.onFresh(() => this.again()),
    ];
    return () => {
      for (const end of ends) end();
      this.begin("", null);
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
    const f = first || !this.filter ? filter() : this.filter;
    const meanwhile = (this.#meanwhile = new Map<string, Incident>());
    let p: Page;
    try {
      p = await this.request({ ...f.query, state: "closed", limit: pageSize }, first ? undefined : (this.#next ?? undefined), signal);
    } finally {
      if (this.#meanwhile === meanwhile) this.#meanwhile = null;
    }
    if (signal.aborted || round !== this.round) return;
    if (first) this.begin(key, f);
    const whole = this.add(p);
    this.#next = p.next;
    this.complete = p.next === null && whole;
    this.pages += 1;
    for (const i of meanwhile.values()) this.take(i, undefined);
  }

  protected begin(key: string, filter: ClosedFilter | null): void {
    this.key = key;
    this.filter = filter;
    this.rows = [];
    this.pages = 0;
    this.complete = false;
    this.#next = null;
  }

  /** What has happened is not known: the pages are fetched anew, and stand until then. */
  protected again(): void {
    this.pages = 0;
    this.round += 1;
  }
}
