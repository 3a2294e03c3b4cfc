// A list in which the incidents of one group are one row. A group is what the hub makes of the repeated
// incidents of one rule of one device; one that has been opened shows its other incidents below its row.
import type { Incident } from "../../api/types";

/** What a row of a group needs to know. */
export interface InGroup {
  id: string;
  count: number; // incidents of the group in the list
  head: boolean; // the row that stands for the group; the others are below it
  open: boolean;
}

export interface Grouped {
  rows: Incident[];
  /** by incident ID; only of groups with more than one incident in the list */
  groups: ReadonlyMap<string, InGroup>;
}

/**
 * Groups a list. The row of a group stands where its first incident stands, and shows the incident kept, if that
 * is one of its own, or else the first one: what is selected does not change under the hand when a new one comes.
 */
export function groupRows(all: readonly Incident[], opened: ReadonlySet<string>, kept: string): Grouped {
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
    const head = incidents.find((i) => i.id === kept) ?? incidents[0]!;
    rows.push(head);
    if (incidents.length === 1) continue;
    const open = opened.has(id);
    groups.set(head.id, { id, count: incidents.length, head: true, open });
    if (!open) continue;
    for (const i of incidents) {
      if (i === head) continue;
      rows.push(i);
      groups.set(i.id, { id, count: incidents.length, head: false, open });
    }
  }
  return { rows, groups };
}
