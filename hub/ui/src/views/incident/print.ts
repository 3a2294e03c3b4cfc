// What a printed incident has that the page does not show by itself.
import type { Incident } from "../../api/types";

/** People and programs that did something about it, in the order of their first action; edges are not among them. */
export function printedPeople(i: Incident): string[] {
  const all = [...(i.timeline ?? []).map((e) => e.who), i.assignee, i.state_by];
  return [...new Set(all.filter((who) => who && !who.startsWith("edge ") && who !== "edge"))];
}
