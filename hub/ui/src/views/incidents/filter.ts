// Which incidents a list shows. A filter stands in the address, so that it can be kept, sent and
// gone back to; what is not set stands there not at all.
import { type Incident, type Severity, severities } from "../../api/types";
import { openedAt } from "../../state/incidents.svelte";

export const states = ["unclosed", "open", "acknowledged", "closed", "all"] as const;
export type StateChoice = (typeof states)[number];

/** Choices for how far back, and what they are in ms. */
export const spans = { "1h": 3_600_000, "8h": 28_800_000, "24h": 86_400_000, "7d": 604_800_000 } as const;
export type Span = keyof typeof spans;

export interface Filter {
  state: StateChoice;
  severity: Severity[]; // none: all
  kind: string; // "": all
  site: string; // name of an edge; "": all; reports have none: noSite
  since: Span | "";
  q: string; // words that must all occur, in any order
  apart: boolean; // each incident has a row of its own, also repeated ones
}

/** Stands for incidents that no edge has opened. No edge can be called so. */
export const noSite = "~";

export const noFilter: Filter = { state: "unclosed", severity: [], kind: "", site: "", since: "", q: "", apart: false };

/** Reads a filter; what makes no sense is left out. */
export function parseFilter(query: URLSearchParams): Filter {
  const state = query.get("state");
  const since = query.get("since") ?? "";
  const wanted = (query.get("severity") ?? "").split(",");
  return {
    state: states.find((s) => s === state) ?? "unclosed",
    severity: severities.filter((s) => wanted.includes(s)),
    kind: query.get("kind") ?? "",
    site: query.get("site") ?? "",
    since: Object.hasOwn(spans, since) ? (since as Span) : "",
    q: query.get("q") ?? "",
    apart: query.get("apart") === "1",
  };
}

/** What of the query has to change for a filter to stand in it. */
export function toQuery(f: Partial<Filter>): Record<string, string | null> {
  const out: Record<string, string | null> = {};
  if (f.state !== undefined) out["state"] = f.state === "unclosed" ? null : f.state;
  if (f.severity !== undefined) out["severity"] = f.severity.join(",") || null;
  if (f.apart !== undefined) out["apart"] = f.apart ? "1" : null;
  for (const key of ["kind", "site", "since", "q"] as const) {
    const value = f[key];
    if (value !== undefined) out[key] = value || null;
  }
  return out;
}

/** Whether anything but the state is filtered. */
export function isNarrow(f: Filter): boolean {
  return f.severity.length > 0 || f.kind !== "" || f.site !== "" || f.since !== "" || f.q.trim() !== "";
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

/**
 * Filters a list, which keeps its order, and counts for each choice how many there would be if it
 * alone were chosen otherwise. words gives the text of an incident that q looks through, in lower case;
 * none as long as it is not known.
 */
export function applyFilter(all: readonly Incident[], f: Filter, now: number, words: (i: Incident) => string | undefined): Filtered {
  const rows: Incident[] = [];
  const counts: Counts = {
    state: { unclosed: 0, open: 0, acknowledged: 0, closed: 0, all: 0 },
    severity: { minor: 0, moderate: 0, severe: 0, extreme: 0 },
    kind: new Map(), site: new Map(),
  };
  const from = f.since ? now - spans[f.since] : -Infinity;
  const typed = f.q.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  for (const i of all) {
    if (openedAt(i) < from) continue;
    const state = inState(i, f.state);
    const severity = f.severity.length === 0 || f.severity.includes(i.severity);
    const kind = f.kind === "" || i.kind === f.kind;
    const site = f.site === "" || siteOf(i) === f.site;
    const off = Number(!state) + Number(!severity) + Number(!kind) + Number(!site);
    if (off > 1) continue;
    if (typed.length > 0) {
      const hay = words(i);
      if (hay === undefined || !typed.every((w) => hay.includes(w))) continue;
    }
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
