// What the list has before it, kept while the page of an incident is open: the browser's back leads
// to the same place, and the page can go on to the next incident of the same list.
import type { Incident } from "../../api/types";
import { router, to } from "../../state/router.svelte";

class Desk {
  /** the incident that keys act upon, by ID */
  selected = $state("");
  /** what the list shows, in its order */
  rows: Incident[] = $state.raw([]);
  /** whether the rows that are seen must stay what they are */
  held = $state(false);
  /** the incident that the row of a group shows, by group */
  heads: ReadonlyMap<string, string> = new Map();
  /** px; for coming back */
  scrolled = 0;
  /** the query that scrolled belongs to */
  query = "";

  /** the list's present query, also when it was never scrolled or is empty */
  filter = "";

  /** The list as it was left. */
  get back(): string {
    return to.incidents(this.filter);
  }

  /** The one so many after (before, when negative) an incident; undefined beyond the ends. */
  beside(id: string, by: number): Incident | undefined {
    const at = this.rows.findIndex((i) => i.id === id);
    return at < 0 ? undefined : this.rows[at + by];
  }

  /** Opens the page of an incident. */
  open(id: string): void {
    this.selected = id;
    router.navigate(to.incident(id));
  }
}

export const desk = new Desk();
