// What the filters' choices say of how many there are. Of what is not closed the console knows all; of closed
// ones it knows the hub's totals, which no filter but the severity narrows, and lists that have come to their end.
// What is not known exactly is not said.
import type { Incident, Severity } from "../../api/types";
import { severities } from "../../api/types";
import type { Total } from "../../state/closed.svelte";
import { type Counts, type Filter, isNarrow, noSite, type StateChoice } from "./filter";

/** Counts of choices; null: not known. */
export interface Shown {
  state: Record<StateChoice, number | null>;
  severity: Record<Severity, number | null>;
  kind: Map<string, number | null>;
  site: Map<string, number | null>;
}

const add = (a: number, b: number | null): number | null => (b === null ? null : a + b);
const unknown = (...of: Iterable<string>[]) => new Map<string, number | null>(of.flatMap((keys) => [...keys].map((k) => [k, null] as const)));
const kinds = ["zone", "line", "loitering", "wrong-way", "crowd", "stopped", "absence", "left", "removed", "sighting", "above", "below", "silence", "health", "report"]; // of the rules, and reports

/** How many closed incidents of each severity match the rest of a filter; null: not known. */
function closedBySeverity(f: Filter, totals: readonly Total[] | null, whole: readonly Incident[] | null): Record<Severity, number | null> {
  const narrow = isNarrow({ ...f, severity: [] });
  const of = (s: Severity): number | null => {
    if (!narrow) return totals && totals.reduce((n, c) => n + (c.state === "closed" && c.severity === s ? c.count : 0), 0);
    const listed = whole && (f.severity.length === 0 || f.severity.includes(s));
    return listed ? whole.reduce((n, i) => n + Number(i.severity === s), 0) : null;
  };
  return Object.fromEntries(severities.map((s) => [s, of(s)])) as Record<Severity, number | null>;
}

/**
 * unclosed are the counts of what is not closed; whole are all closed ones that match, or how many, if they are known;
 * sites are those that may have closed ones.
 */
export function shownCounts(unclosed: Counts, f: Filter, totals: readonly Total[] | null, whole: readonly Incident[] | number | null, sites: readonly string[]): Shown {
  const bySeverity = closedBySeverity(f, totals, typeof whole === "number" ? null : whole);
  const chosen = severities.filter((s) => f.severity.length === 0 || f.severity.includes(s));
  const closed = typeof whole === "number" && isNarrow(f) ? whole : chosen.reduce<number | null>((n, s) => (n === null ? null : add(n, bySeverity[s])), 0);
  const state = { ...unclosed.state, closed, all: add(unclosed.state.unclosed, closed) };
  if (f.state !== "closed" && f.state !== "all") return { ...unclosed, state };
  const severity = Object.fromEntries(severities.map((s) => [s, add(f.state === "all" ? unclosed.severity[s] : 0, bySeverity[s])])) as Shown["severity"];
  return { state, severity, kind: unknown(kinds, unclosed.kind.keys()), site: unknown([noSite], sites, unclosed.site.keys()) };
}
