// A list in which the incidents of one group are one row. A group is what the hub makes of the repeated
// incidents of one rule of one device; one that has been opened shows its other incidents below its row.
import type { Incident } from "../../api/types";
import { openedAt } from "../../state/incidents.svelte";

/** What a row of a group needs to know. */
export interface InGroup {
  id: string;
  count: number; // incidents of the group in the list, also those that have not been loaded
  ids: readonly string[]; // of those that have
  last: number; // ms; when the newest of them happened
  head: boolean; // the row that stands for the group; the others are below it
  open: boolean;
  more: boolean; // it is open, and the hub has more of it
}

/** What the hub says of the closed incidents of a group. */
export interface InHub {
  count: number;
  more: boolean; // not all of them have been loaded
}

export interface Grouped {
  rows: Incident[];
  /** by incident ID; only of groups with more than one incident */
  groups: ReadonlyMap<string, InGroup>;
}

/**
 * Groups a list. The row of a group stands where its first incident stands, and shows the incident that kept gives
 * for the group, if that is one of its own, or else the first one: a row that somebody is about to press stays what it
 * is when a new incident comes, and only its count changes. hub has, by group, what the hub says of closed ones.
 */
export function groupRows(all: readonly Incident[], opened: ReadonlySet<string>, kept: (group: string) => string | undefined, hub: ReadonlyMap<string, InHub> = new Map()): Grouped {
  const members = new Map<string, Incident[]>();
  for (const i of all) {
    const id = i.group || i.id;
    const others = members.get(id);
    if (others) others.push(i);
    else members.set(id, [i]);
  }
  const rows: Incident[] = [];
  const groups = new Map<string, InGroup>();
  for (const [id, incidents] of members) {
    const wanted = incidents.length > 1 ? kept(id) : undefined;
    const head = (wanted !== undefined && incidents.find((i) => i.id === wanted)) || incidents[0]!;
    rows.push(head);
    const closed = hub.get(id);
    const count = closed ? Math.max(incidents.length, closed.count + incidents.filter((i) => i.state !== "closed").length) : incidents.length;
    if (count === 1) continue;
    const open = opened.has(id);
    const last = incidents.reduce((at, i) => Math.max(at, openedAt(i)), 0);
    const group = { id, count, ids: incidents.map((i) => i.id), last, open, more: open && closed?.more === true };
    groups.set(head.id, { ...group, head: true });
    if (!open) continue;
    for (const i of incidents) {
      if (i === head) continue;
      rows.push(i);
      groups.set(i.id, { ...group, head: false });
    }
  }
  return { rows, groups };
}

/** The incident that the row of each group shows, by group; also of what has not been repeated yet. */
export function headsOf(rows: readonly Incident[], groups: ReadonlyMap<string, InGroup> = new Map()): ReadonlyMap<string, string> {
  const heads = new Map<string, string>();
  for (const i of rows) {
    const group = groups.get(i.id);
    const id = i.group || i.id;
    if (group?.head || (!group && !heads.has(id))) heads.set(id, i.id);
  }
  return heads;
}

/** The opened group that has more to be loaded, and whose last row stands from one place to before another; "": none. */
export function reachedGroup(rows: readonly Incident[], groups: ReadonlyMap<string, InGroup> | undefined, from: number, to: number): string {
  for (let n = from; n < Math.min(to, rows.length); n += 1) {
    const group = groups?.get(rows[n]!.id);
    if (group?.more && groups?.get(rows[n + 1]?.id ?? "")?.id !== group.id) return group.id;
  }
  return "";
}
