// Which incidents a list shows. A filter stands in the address, so that it can be kept, sent and
// gone back to; what is not set stands there not at all.
import { type Incident, type Severity, rankOf, severities } from "../../api/types";
import { type IncidentQuery, occurredAt } from "../../state/incidents.svelte";

export const states = ["unclosed", "open", "acknowledged", "closed", "all"] as const;
export type StateChoice = (typeof states)[number];

/** Choices for how far back, and what they are in ms. */
export const spans = { "1h": 3_600_000, "8h": 28_800_000, "24h": 86_400_000, "7d": 604_800_000 } as const;
export type Span = keyof typeof spans;
/** Choices that are days of the reader's own zone. The night shift is from 20:00 to 08:00. */
export const days = ["today", "yesterday", "night"] as const;
export type Since = Span | (typeof days)[number] | "range";
export const nightFrom = 20, nightTo = 8; // o'clock

export const outcomes = ["false_alarm", "dealt_with", "handed_on", "other", "joined"] as const;
export const sorts = ["severity", "device", "occurred", "state"] as const;
export type Sort = (typeof sorts)[number];

export interface Filter {
  state: StateChoice;
  severity: Severity[]; // none: all
  kind: string; // "": all
  site: string; // name of an edge; "": all; reports have none: noSite
  device: string; // of the site; "": all
  since: Since | "";
  from: string; // of the range, as a field for local times has it: "2026-05-03T20:00"; "": open
  to: string;
  assignee: string; // "": anybody; mine: whoever looks
  outcome: (typeof outcomes)[number] | "";
  q: string; // words that must all occur, in any order
  sort: Sort | ""; // "": what is not closed by severity, closed ones by time
  asc: boolean;
  apart: boolean; // each incident has a row of its own, also repeated ones
}

/** Stands for incidents that no edge has opened. No edge can be called so. */
export const noSite = "~";

/** Stands for whoever looks. No user can be called so. */
export const mine = "~me";

export const noFilter: Filter = {
  state: "unclosed", severity: [], kind: "", site: "", device: "", since: "", from: "", to: "", assignee: "", outcome: "", q: "", sort: "", asc: false, apart: false,
};

/** Reads a filter; what makes no sense is left out. */
export function parseFilter(query: URLSearchParams): Filter {
  const state = query.get("state");
  const since = query.get("since") ?? "";
  const wanted = (query.get("severity") ?? "").split(",");
  const range = since === "range";
  const local = (key: string) => (range ? /^\d{4}-\d\d-\d\dT\d\d:\d\d$/.exec(query.get(key) ?? "")?.[0] ?? "" : "");
  return {
    state: states.find((s) => s === state) ?? "unclosed",
    severity: severities.filter((s) => wanted.includes(s)),
    kind: query.get("kind") ?? "",
    site: query.get("site") ?? "",
    device: query.get("site") ? (query.get("device") ?? "") : "",
    since: range || Object.hasOwn(spans, since) || days.some((d) => d === since) ? (since as Since) : "",
    from: local("from"),
    to: local("to"),
    assignee: query.get("assignee") ?? "",
    outcome: outcomes.find((o) => o === query.get("outcome")) ?? "",
    q: query.get("q") ?? "",
    sort: sorts.find((s) => s === query.get("sort")) ?? "",
    asc: query.get("order") === "asc",
    apart: query.get("apart") === "1",
  };
}

/** What of the query has to change for a filter to stand in it. */
export function toQuery(f: Partial<Filter>): Record<string, string | null> {
  const out: Record<string, string | null> = {};
  if (f.state !== undefined) out["state"] = f.state === "unclosed" ? null : f.state;
  if (f.severity !== undefined) out["severity"] = f.severity.join(",") || null;
  if (f.apart !== undefined) out["apart"] = f.apart ? "1" : null;
  if (f.asc !== undefined) out["order"] = f.asc ? "asc" : null;
  for (const key of ["kind", "site", "device", "since", "from", "to", "assignee", "outcome", "q", "sort"] as const) {
    const value = f[key];
    if (value !== undefined) out[key] = value || null;
  }
  return out;
}

/** Whether anything but the state is filtered. */
export function isNarrow(f: Filter): boolean {
  return f.severity.length > 0 || f.q.trim() !== "" || [f.kind, f.site, f.device, f.since, f.assignee, f.outcome].some((v) => v !== "");
}

/** Whether the hub's groups answer the filter exactly: it counts none of them by severity or time. */
export function isGroupable(f: Filter): boolean {
  return !f.apart && f.severity.length === 0 && f.q.trim() === "" && [f.since, f.assignee, f.outcome, f.sort].every((v) => v === "");
}

/** What a filter's time means now, in ms: from then on, and before then. */
export function period(f: Pick<Filter, "since" | "from" | "to">, now: number): { from: number; to: number } {
  const at = (day: number, hour = 0) => {
    const d = new Date(now);
    d.setDate(d.getDate() + day);
    return d.setHours(hour, 0, 0, 0);
  };
  const read = (text: string, open: number) => (Number.isNaN(Date.parse(text)) ? open : Date.parse(text));
  switch (f.since) {
    case "": return { from: -Infinity, to: Infinity };
    case "today": return { from: at(0), to: Infinity };
    case "yesterday": return { from: at(-1), to: at(0) };
    case "night": return { from: at(-1, nightFrom), to: at(0, nightTo) };
    case "range": return { from: read(f.from, -Infinity), to: read(f.to, Infinity) };
    default: return { from: now - spans[f.since], to: Infinity };
  }
}

/** What the hub is asked for: the same filter, without the state. */
export function hubQuery(f: Filter, now: number, me: string): IncidentQuery {
  const { from, to } = period(f, now);
  const q = f.q.trim();
  return {
    severity: f.severity.join(","), kind: f.kind,
    ...(f.site === noSite ? { source: "report" as const } : { edge: f.site, device: f.device }),
    since: Number.isFinite(from) ? new Date(from) : undefined, until: Number.isFinite(to) ? new Date(to) : undefined,
    assignee: f.assignee === mine ? me : f.assignee, outcome: f.outcome, q,
    sort: f.sort === "occurred" || (q && f.sort === "device") ? undefined : f.sort || undefined,
    order: f.sort && f.asc ? "asc" : undefined,
  };
}

/** Where a filter's incidents can be had as a file. */
export function exportQuery(f: Filter, now: number, me: string): Record<string, string | Date | undefined> {
  return {
    ...(hubQuery(f, now, me) as Record<string, string | Date | undefined>),
    state: f.state === "all" ? undefined : f.state,
    tz: Intl.DateTimeFormat().resolvedOptions().timeZone,
  };
}

/** The order by a column; null: the list's own. What compares equal is newest first. */
export function order(f: Pick<Filter, "sort" | "asc">): ((a: Incident, b: Incident) => number) | null {
  const stateRank = { open: 0, acknowledged: 1, closed: 2 };
  const text = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  const newest = (a: Incident, b: Incident) => occurredAt(b) - occurredAt(a) || text(b.id, a.id);
  const columns: Record<Sort, (a: Incident, b: Incident) => number> = {
    severity: (a, b) => rankOf(a.severity) - rankOf(b.severity),
    state: (a, b) => stateRank[a.state] - stateRank[b.state],
    device: (a, b) => text(a.site, b.site) || text(a.edge, b.edge) || text(a.device, b.device),
    occurred: (a, b) => -newest(a, b),
  };
  if (f.sort === "") return null;
  const by = columns[f.sort];
  const sign = f.asc ? 1 : -1;
  return (a, b) => sign * by(a, b) || newest(a, b);
}

export interface Counts {
  state: Record<StateChoice, number>;
  severity: Record<Severity, number>;
  kind: Map<string, number>;
  site: Map<string, number>;
}

export interface Filtered {
  rows: Incident[];
  counts: Counts;
}

const siteOf = (i: Incident): string => i.edge || noSite;

function inState(i: Incident, state: StateChoice): boolean {
  return state === "all" || (state === "unclosed" ? i.state !== "closed" : i.state === state);
}

/** The part of a filter of which no choice has a count. */
function within(f: Filter, now: number, words: (i: Incident) => string | undefined, me: string): (i: Incident) => boolean {
  const { from, to } = period(f, now);
  const timed = f.since !== "";
  const who = f.assignee === mine ? me : f.assignee;
  const typed = f.q.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  return (i) => {
    if (timed && (occurredAt(i) < from || occurredAt(i) >= to)) return false;
    if ((f.device && i.device !== f.device) || (f.assignee && i.assignee !== who) || (f.outcome && i.outcome !== f.outcome)) return false;
    if (typed.length === 0) return true;
    const hay = words(i);
    return hay !== undefined && typed.every((w) => hay.includes(w));
  };
}

/** Whether a closed incident belongs to a list, as far as the console can tell. */
export function matchesClosed(f: Filter, now: number, words: (i: Incident) => string | undefined, me: string): (i: Incident) => boolean {
  const others = within(f, now, words, me);
  return (i) => (f.severity.length === 0 || f.severity.includes(i.severity)) && (f.kind === "" || i.kind === f.kind) && (f.site === "" || siteOf(i) === f.site) && others(i);
}

/**
 * Filters a list, which keeps its order, and counts for each choice how many there would be if it
 * alone were chosen otherwise. words gives the text of an incident that q looks through, in lower case;
 * none as long as it is not known. me is whoever looks.
 */
export function applyFilter(all: readonly Incident[], f: Filter, now: number, words: (i: Incident) => string | undefined, me = ""): Filtered {
  const rows: Incident[] = [];
  const counts: Counts = {
    state: { unclosed: 0, open: 0, acknowledged: 0, closed: 0, all: 0 },
    severity: { minor: 0, moderate: 0, severe: 0, extreme: 0 },
    kind: new Map(), site: new Map(),
  };
  const others = within(f, now, words, me);
  for (const i of all) {
    const state = inState(i, f.state);
    const severity = f.severity.length === 0 || f.severity.includes(i.severity);
    const kind = f.kind === "" || i.kind === f.kind;
    const site = f.site === "" || siteOf(i) === f.site;
    const off = Number(!state) + Number(!severity) + Number(!kind) + Number(!site);
    if (off > 1 || !others(i)) continue;
    if (severity && kind && site) {
      counts.state.all += 1;
      counts.state[i.state] += 1;
      if (i.state !== "closed") counts.state.unclosed += 1;
    }
    if (state && kind && site) counts.severity[i.severity] += 1;
    if (state && severity && site) counts.kind.set(i.kind, (counts.kind.get(i.kind) ?? 0) + 1);
    if (state && severity && kind) counts.site.set(siteOf(i), (counts.site.get(siteOf(i)) ?? 0) + 1);
    if (off === 0) rows.push(i);
  }
  return { rows, counts };
}
