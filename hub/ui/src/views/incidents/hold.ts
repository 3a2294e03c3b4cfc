// What a list shows while somebody works in it.
//
// What always holds: while it is held, no row down to the last one that is seen changes its place,
// goes or comes; their contents are always the newest. What arrives above waits in `waiting`; what
// belongs below what is seen comes in at once, because nothing that is seen moves by it. Only what
// somebody asks for moves rows: a group that is opened or collapsed, and what follows in an opened one.
import type { Incident } from "../../api/types";
import type { InGroup } from "./group";

export interface Shown {
  rows: Incident[];
  waiting: Incident[]; // belong among the held rows, in order
  gone: ReadonlySet<string>; // held rows that no longer belong here, by ID
}

export const nothingShown: Shown = { rows: [], waiting: [], gone: new Set() };

type Groups = ReadonlyMap<string, InGroup>;
const noGroups: Groups = new Map();

/**
 * The list after a change. held is how many rows from the top must stay where they are (0: none);
 * latest gives the newest version of an incident, also of one that the filter has let go; groups are those of the
 * target, former those of the list before, by incident ID.
 */
export function hold(before: Shown, target: Incident[], held: number, latest: (id: string) => Incident | undefined, groups = noGroups, former = noGroups): Shown {
  if (held <= 0 || before.rows.length === 0) return { ...nothingShown, rows: target };
  const at = new Map<string, number>(); // where the order would have them
  target.forEach((i, n) => at.set(i.id, n));

  const keptIds = new Set<string>();
  const gone = new Set<string>();
  let lastKept = -1;
  const wasOpen = new Set([...former.values()].filter((g) => g.open).map((g) => g.id));
  const collapsed = new Set([...groups.values()].filter((g) => !g.open && wasOpen.has(g.id)).map((g) => g.id));
  const kept = before.rows.slice(0, held).filter((old) => at.has(old.id) || !collapsed.has(old.group || old.id)).map((old) => {
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
  const ends = new Map<string, number>(); // where the rows of an opened group that are there end
  target.forEach((i, n) => {
    const group = groups.get(i.id);
    if (group?.open && (keptIds.has(i.id) || belowIds.has(i.id))) ends.set(group.id, n);
  });
  const rows = kept;
  const waiting: Incident[] = [];
  const following = new Map<string, Incident[]>(); // rows of an opened group, by the ID of the one that they come after
  let last = "";
  target.forEach((i, n) => {
    const group = groups.get(i.id);
    if (keptIds.has(i.id)) last = i.id;
    else if (belowIds.has(i.id) || n > limit) rows.push(i);
    else if (group && n > (ends.get(group.id) ?? Infinity)) {
      const others = following.get(last);
      if (others) others.push(i);
      else following.set(last, [i]);
    } else waiting.push(i);
  });
  return { rows: following.size === 0 ? rows : rows.flatMap((i) => [i, ...(following.get(i.id) ?? [])]), waiting, gone };
}
