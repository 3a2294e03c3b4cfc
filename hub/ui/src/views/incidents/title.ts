// What a list and a page call an incident: what happened, and for how long once it is over.
import type { Incident } from "../../api/types";
import { fmt } from "../../i18n/formats.svelte";
import { t } from "../../i18n/i18n.svelte";
import { incidentTitle } from "../../i18n/words";
import { openedAt } from "../../state/incidents.svelte";

/** How long what opened it lasted, ms; null while it goes on, and where that says nothing. */
export function lasted(i: Incident): number | null {
  if (i.condition !== "closed" || !i.closed_at || i.source === "report" || i.kind === "line") return null;
  const ms = Date.parse(i.closed_at) - openedAt(i);
  return ms > 0 ? ms : null;
}

/** "Motion in the yard for 4s", "River above 3.2 m: 3.4 m, for 5m"; without the span while it goes on. */
export function titleWords(i: Incident): string {
  const title = incidentTitle(i);
  const ms = lasted(i);
  if (ms === null) return title;
  const level = i.kind === "above" || i.kind === "below" || i.kind === "crowd";
  return t(level ? "incidents.title.levelFor" : "incidents.title.for", { title, span: fmt.span(ms) });
}
