// Where a new incident stands in the list as it opens: not closed, repeats as one row. Pure.
import type { Incident } from "../../api/types";
import { worstFirst } from "../../state/incidents.svelte";
import { groupRows } from "../incidents/group";

/** Its row, from 1, and how many rows there are. all need not hold it yet. */
export function listed(all: readonly Incident[], saved: Incident): { row: number; rows: number } {
  const shown = [...all.filter((i) => i.state !== "closed" && i.id !== saved.id), saved].sort(worstFirst);
  const { rows } = groupRows(shown, new Set(), () => saved.id);
  return { row: rows.findIndex((i) => i.id === saved.id) + 1, rows: rows.length };
}
