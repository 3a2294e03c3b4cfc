// Every incident that is not closed, and those that were closed or looked at last. Lists of closed ones are in
// closed.svelte.ts.
//
// What always holds: an incident is only ever replaced by a newer version of itself, whichever way
// it came (stream, list, answer to an action), so the ways need no order among them.
import { api, type Options, path } from "../api/client";
import { type Incident, type IncidentGroup, type Severity, rankOf } from "../api/types";
import { Collection } from "./collection.svelte";
import { link } from "./link.svelte";

/** What GET /api/v1/incidents filters by. */
export interface IncidentQuery {
  state?: "open" | "acknowledged" | "closed" | "unclosed" | undefined;
  severity?: string | undefined; // one of these, separated by commas
  edge?: string | undefined;
  device?: string | undefined;
  kind?: string | undefined;
  source?: Incident["source"] | undefined;
  assignee?: string | undefined;
  outcome?: string | undefined;
  since?: Date | undefined;
  until?: Date | undefined;
  q?: string | undefined;
  sort?: "severity" | "state" | "device" | undefined;
  order?: "asc" | undefined;
  group?: string | undefined;
  grouped?: true | undefined; // groups instead of incidents
  ids?: string | undefined; // of incidents or groups, separated by commas
  limit?: number | undefined;
  next?: string | undefined;
}

export interface IncidentPage {
  incidents: Incident[];
  groups?: IncidentGroup[];
  next: string | null;
}

const firstPage = 100; // small, so that something is on the screen soon
const page = 500; // the most that the hub gives at once
const most = 20_000; // that are fetched unasked
export const keptClosed = 500; // closed ones that are kept; the oldest to come goes first
const batch = 100; // incidents that are asked for by ID in one request; 4 KB of address

const mostAnnounced = 1000; // an event comes twice only shortly after its first time

const times = new WeakMap<Incident, number>();
const occurrences = new WeakMap<Incident, number>();

/** When it opened, ms. */
export function openedAt(i: Incident): number {
  let at = times.get(i);
  if (at === undefined) {
    at = Date.parse(i.opened_at);
    times.set(i, at);
  }
  return at;
}

/** When it occurred by the hub's clock, ms: what the hub's lists are filtered and sorted by. */
export function occurredAt(i: Incident): number {
  let at = occurrences.get(i);
  if (at === undefined) {
    at = i.occurred_at ? Date.parse(i.occurred_at) : openedAt(i);
    occurrences.set(i, at);
  }
  return at;
}

/** Not closed before closed, what goes on before what has ended, worst first, newest first. */
export function worstFirst(a: Incident, b: Incident): number {
  return (
    Number(a.state === "closed") - Number(b.state === "closed") ||
    Number(a.condition === "closed") - Number(b.condition === "closed") ||
    rankOf(b.severity) - rankOf(a.severity) ||
    openedAt(b) - openedAt(a) ||
    (a.id < b.id ? 1 : a.id > b.id ? -1 : 0)
  );
}

export function isNewer(a: Incident, b: Incident): boolean {
  if (a.version !== b.version) return b.version > a.version;
  return Date.parse(b.updated_at) > Date.parse(a.updated_at);
}

type Loading = "no" | "first" | "rest" | "all";

class Incidents {
  #all = new Collection<Incident>({ key: (i) => i.id, compare: worstFirst, newer: isNewer, batch: 40 });
  /** how far the unclosed ones have come: "rest" means that the first page is there */
  loading: Loading = $state("no");
  /** why the last fetch failed; null when it did not */
  error: unknown = $state(null);
  #closed = new Set<string>(); // IDs of the closed ones, in the order in which they came
  #announced = new Set<string>(); // the newest that have been told as new, by ID; without the oldest beyond mostAnnounced
  #arrived = new Set<(i: Incident) => void>();
  #changed = new Set<(i: Incident, before: Incident | undefined) => void>();
  #round = 0;
  #session = 0; // counts the sessions: answers to an earlier one are dropped

  /** all that are known, worst and newest first; reactive, a new array after each change */
  get sorted(): Incident[] { return this.#all.sorted; }
  get size(): number { return this.#all.size; }
  get(id: string): Incident | undefined { return this.#all.get(id); }

  /** Calls f once with each incident that happens from now on, unless somebody has acknowledged it already. */
  onArrived(f: (i: Incident) => void): () => void {
    this.#arrived.add(f);
    return () => this.#arrived.delete(f);
  }

  /** Calls f with each change that the stream or the answer to an action brings, whoever made it. */
  onChanged(f: (i: Incident, before: Incident | undefined) => void): () => void {
    this.#changed.add(f);
    return () => this.#changed.delete(f);
  }

  /** Follows the live stream. Returns what ends that and forgets everything. */
  start(): () => void {
    const ends = [link.on("incident", (i) => this.#take(i)), link.onFresh(() => void this.#load())];
    return () => {
      for (const end of ends) end();
      this.#round += 1;
      this.#session += 1;
      this.#all.clear();
      this.#announced.clear();
      this.#closed.clear();
      this.loading = "no";
    };
  }

  #take(i: Incident): void {
    this.#tell(i);
    // A person's report is in hand from its first version, and is new all the same.
    const isOpen = i.source === "report" || this.#all.peek(i.id)?.state === "open";
    if (this.#isNew(i) && isOpen) for (const f of this.#arrived) f(i);
  }

  #tell(i: Incident): void {
    const before = this.#all.peek(i.id);
    const what = this.#put(i);
    if (what !== "kept") for (const f of this.#changed) f(strip(i), before);
  }

  /** Whether an event tells of an incident for the first time. While lists are being fetched, most of those that change are old. */
  #isNew(i: Incident): boolean {
    if (i.version !== 1 || this.#announced.has(i.id)) return false;
    this.#announced.add(i.id);
    if (this.#announced.size > mostAnnounced) for (const oldest of this.#announced) { this.#announced.delete(oldest); break; }
    return true;
  }

  #put(i: Incident): "added" | "changed" | "kept" {
    const what = this.#all.put(strip(i));
    if (what === "kept") return what;
    this.#closed.delete(i.id);
    if (i.state !== "closed") return what;
    this.#closed.add(i.id);
    if (this.#closed.size > keptClosed) this.#forget(this.#closed.values().next().value!);
    return what;
  }

  #forget(id: string): void {
    this.#closed.delete(id);
    this.#all.remove(id);
  }

  async #load(): Promise<void> {
    const round = ++this.#round;
    const known = new Set([...this.#all.values()].filter((i) => i.state !== "closed").map((i) => i.id));
    this.loading = this.loading === "no" || this.loading === "first" ? "first" : "rest";
    try {
      let next: string | undefined;
      let count = 0;
      do {
        const p = await this.#page({ state: "unclosed", limit: next ? page : firstPage, next });
        if (round !== this.#round) return;
        for (const i of p.incidents) known.delete(i.id);
        count += p.incidents.length;
        if (this.loading === "first") this.#all.flush();
        this.loading = "rest";
        next = p.next ?? undefined;
      } while (next && count < most);
      // What was not closed before and is not in the list has been closed or removed meanwhile.
      if (!next) await this.#recheck([...known], round);
      if (round !== this.#round) return;
      this.loading = "all";
      this.error = null;
    } catch (error) {
      if (round !== this.#round) return;
      this.error = error;
      setTimeout(() => round === this.#round && void this.#load(), 2000 + 2000 * Math.random());
    }
  }

  /** Fetches incidents by their IDs, many at a time, one request after the other; forgets those that are gone. */
  async #recheck(ids: string[], round: number): Promise<void> {
    for (let i = 0; i < ids.length && round === this.#round; i += batch) {
      const some = ids.slice(i, i + batch);
      const p = await this.#page({ ids: some.join(","), limit: some.length });
      const there = new Set(p.incidents.map((x) => x.id));
      for (const id of some) if (!there.has(id)) this.#forget(id);
    }
  }

  async #page(q: IncidentQuery, signal?: AbortSignal): Promise<IncidentPage> {
    const [session, round] = [this.#session, this.#round];
    const p = await api.get<IncidentPage>("/api/v1/incidents", { query: { ...q }, ...(signal && { signal }) });
    if (session !== this.#session) return p;
    // Closed ones that are not known belong to whoever asked. Others that are not known may have ended since, if the
    // lists were fetched anew after this was asked.
    for (const i of [...p.incidents, ...(p.groups ?? []).map((g) => g.newest as Incident)]) if (this.#all.peek(i.id) || (i.state !== "closed" && round === this.#round)) this.#put(i);
    return p;
  }

  /** Fetches a part of the hub's list. What is not closed goes into the store too. */
  fetchPage(q: IncidentQuery, signal?: AbortSignal): Promise<IncidentPage> {
    return this.#page(q, signal);
  }

  /** Fetches a part of the hub's list of groups. */
  async fetchGroups(q: IncidentQuery, signal?: AbortSignal): Promise<{ groups: IncidentGroup[]; next: string | null }> {
    const p = await this.#page({ ...q, grouped: true }, signal);
    return { groups: p.groups ?? [], next: p.next };
  }

  /** One incident with its timeline. */
  async fetch(id: string, signal?: AbortSignal): Promise<Incident> {
    for (;;) {
      const round = this.#round;
      const whole = await api.get<Incident>(path`/api/v1/incidents/${id}`, signal ? { signal } : {});
      if (round === this.#round) return this.#keep(Promise.resolve(whole)); // else it may have ended since: nothing will tell of it
    }
  }

  async #keep(answer: Promise<Incident>, told = false): Promise<Incident> {
    const now = this.#session;
    const whole = await answer;
    if (now === this.#session) told ? this.#tell(whole) : this.#put(whole);
    this.#all.flush();
    return whole;
  }

  /** The answer to an action: what follows changes hears of it, though the stream brings it again. */
  #act(answer: Promise<Incident>): Promise<Incident> {
    return this.#keep(answer, true);
  }

  // What people do. version is the one that a change is based on: the hub refuses it with 412 if it has a newer one.

  acknowledge(id: string, version: number): Promise<Incident> {
    return this.#act(api.post<Incident>(path`/api/v1/incidents/${id}/acknowledge`, undefined, ifMatch(version)));
  }

  /** Back to open, and nobody's. */
  unacknowledge(id: string, version: number): Promise<Incident> {
    return this.#act(api.delete<Incident>(path`/api/v1/incidents/${id}/acknowledge`, ifMatch(version)));
  }

  /** "" for nobody. */
  assign(id: string, assignee: string, version: number): Promise<Incident> {
    return this.#act(api.post<Incident>(path`/api/v1/incidents/${id}/assign`, { assignee }, ifMatch(version)));
  }

  /** A note overwrites nothing: it needs no version. */
  note(id: string, text: string): Promise<Incident> {
    return this.#act(api.post<Incident>(path`/api/v1/incidents/${id}/notes`, { text }));
  }

  /** With what came of it, "" if that is not said. */
  close(id: string, version: number, text = "", outcome = ""): Promise<Incident> {
    return this.#act(api.post<Incident>(path`/api/v1/incidents/${id}/close`, { ...(text && { text }), ...(outcome && { outcome }) }, ifMatch(version)));
  }

  reopen(id: string, version: number): Promise<Incident> {
    return this.#act(api.post<Incident>(path`/api/v1/incidents/${id}/reopen`, undefined, ifMatch(version)));
  }

  /** Opens one for what a person reports. */
  report(r: { title?: string; text?: string; kind?: string; severity?: Severity; place?: { lat: number; lon: number } | null; at?: string }): Promise<Incident> {
    return this.#act(api.post<Incident>("/api/v1/reports", r));
  }
}

const ifMatch = (version: number): Options => ({ headers: { "If-Match": `"${version}"` } });

/** The timeline is the page's affair; ten thousand of them are not kept. */
function strip(i: Incident): Incident {
  if (!("timeline" in i)) return i;
  const { timeline: _, ...rest } = i;
  return rest;
}

export const incidents = new Incidents();
