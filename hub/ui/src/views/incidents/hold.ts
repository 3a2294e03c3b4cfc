// What a list shows while somebody works in it.
//
// What always holds: while it is held, no row down to the last one that is seen changes its place,
// goes or comes; their contents are always the newest. What arrives above waits in `waiting`; what
// belongs below what is seen comes in at once, because nothing that is seen moves by it.
import type { Incident } from "../../api/types";

export interface Shown {
  rows: Incident[];
  waiting: Incident[]; // belong among the held rows, in order
  gone: Set<string>; // held rows that no longer belong here, by ID
}

const nothing: ReadonlySet<string> = new Set();

/**
 * The list after a change. held is how many rows from the top must stay where they are (0: none);
 * latest gives the newest version of an incident, also of one that the filter has let go.
 */
export function hold(before: Shown, target: Incident[], held: number, order: (a: Incident, b: Incident) => number, latest: (id: string) => Incident | undefined): Shown {
  if (held <= 0 || before.rows.length === 0) return { rows: target, waiting: [], gone: nothing as Set<string> };
  const belongs = new Map<string, Incident>();
  for (const i of target) belongs.set(i.id, i);
  const kept: Incident[] = [];
  const keptIds = new Set<string>();
  const gone = new Set<string>();
  for (const old of before.rows.slice(0, held)) {
    const now = belongs.get(old.id);
    if (!now) gone.add(old.id);
    kept.push(now ?? latest(old.id) ?? old);
    keptIds.add(old.id);
  }
  // A row that has changed keeps its place, so "last" is by where it was: as the list had it.
  const last = lastInOrder(before.rows.slice(0, held), order);
  const waiting: Incident[] = [];
  const below: Incident[] = [];
  for (const i of target) {
    if (keptIds.has(i.id)) continue;
    if (held >= before.rows.length && before.rows.length < held) below.push(i); // room is left below the last row
    else if (last && order(i, last) < 0) waiting.push(i);
    else below.push(i);
  }
  return { rows: kept.concat(below), waiting, gone };
}

function lastInOrder(rows: Incident[], order: (a: Incident, b: Incident) => number): Incident | undefined {
  let last = rows[0];
  for (const i of rows) if (last && order(i, last) > 0) last = i;
  return last;
}
