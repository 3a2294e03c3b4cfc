// What a list shows while somebody works in it.
//
// What always holds: while it is held, no row down to the last one that is seen changes its place,
// goes or comes; their contents are always the newest. What arrives above waits in `waiting`; what
// belongs below what is seen comes in at once, because nothing that is seen moves by it.
import type { Incident } from "../../api/types";

export interface Shown {
  rows: Incident[];
  waiting: Incident[]; // belong among the held rows, in order
  gone: ReadonlySet<string>; // held rows that no longer belong here, by ID
}

export const nothingShown: Shown = { rows: [], waiting: [], gone: new Set() };

/**
 * The list after a change. held is how many rows from the top must stay where they are (0: none);
 * latest gives the newest version of an incident, also of one that the filter has let go.
 */
export function hold(before: Shown, target: Incident[], held: number, latest: (id: string) => Incident | undefined): Shown {
  if (held <= 0 || before.rows.length === 0) return { ...nothingShown, rows: target };
  const at = new Map<string, number>(); // where the order would have them
  target.forEach((i, n) => at.set(i.id, n));

  const keptIds = new Set<string>();
  const gone = new Set<string>();
  let lastKept = -1;
  const kept = before.rows.slice(0, held).map((old) => {
    const n = at.get(old.id);
    keptIds.add(old.id);
    if (n === undefined) gone.add(old.id);
    else lastKept = Math.max(lastKept, n);
    return n === undefined ? (latest(old.id) ?? old) : target[n]!;
  });
  const belowIds = new Set<string>();
  let firstBelow = Infinity;
  for (const old of before.rows.slice(held)) {
    const n = at.get(old.id);
    if (n === undefined) continue;
    belowIds.add(old.id);
    firstBelow = Math.min(firstBelow, n);
  }
  const limit = firstBelow === Infinity ? lastKept : firstBelow;
  const rows = kept;
  const waiting: Incident[] = [];
  target.forEach((i, n) => {
    if (keptIds.has(i.id)) return;
    if (belowIds.has(i.id) || n > limit) rows.push(i);
    else waiting.push(i);
  });
  return { rows, waiting, gone };
}
