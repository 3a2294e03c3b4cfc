// What a dispatcher can change of an incident, each change based on the version that was seen, and how it is taken back.
import type { Incident } from "../../api/types";
import { maybe, t } from "../../i18n/i18n.svelte";
import { errorText, whoText } from "../../i18n/words";
import { Changed, lastDecision, unlessChanged } from "../../state/conflict";
import { incidents } from "../../state/incidents.svelte";
import { session } from "../../state/session.svelte";

export type What = "acknowledge" | "assign" | "close" | "note" | "reopen";

export interface Change {
  what: What;
  make: (seen: Incident) => Promise<Incident>;
  /** takes it back: before is the incident that it was based on, after what it has made of it; undefined: it stays */
  undo?: (before: Incident, after: Incident) => Promise<unknown>;
}

export const acknowledging: Change = {
  what: "acknowledge",
  make: (seen) => unlessChanged(seen, (v) => incidents.acknowledge(seen.id, v)),
  undo: (_, after) => untake(after),
};

/** Gives it to somebody; "" to nobody. */
export const assigning = (who: string): Change => ({
  what: "assign",
  make: (seen) => unlessChanged(seen, (v) => incidents.assign(seen.id, who, v)),
  undo: (before, after) => (before.state === "open" ? untake(after) : unlessChanged(after, (v) => incidents.assign(before.id, before.assignee, v))),
});

export const closing = (text: string, outcome: string): Change => ({
  what: "close",
  make: (seen) => unlessChanged(seen, (v) => incidents.close(seen.id, v, text, outcome)),
  undo: async (before, after) => {
    const reopened = await unlessChanged(after, (v) => incidents.reopen(before.id, v));
    if (before.state === "open") await untake(reopened);
  },
});

export const reopening: Change = {
  what: "reopen",
  make: (seen) => unlessChanged(seen, (v) => incidents.reopen(seen.id, v)),
  undo: (before, after) => unlessChanged(after, (v) => incidents.close(before.id, v, "", before.outcome === "joined" ? "" : before.outcome)),
};

export const noting = (text: string): Change => ({ what: "note", make: (seen) => incidents.note(seen.id, text) });

/** Back to open, and nobody's, unless somebody else has it by now. */
const untake = (i: Incident): Promise<Incident> => unlessChanged(i, (v) => incidents.unacknowledge(i.id, v));

/** Why a change was not made. */
export const causeOf = (error: unknown): string => (error instanceof Changed ? meanwhile(error.now) : errorText(error));

/** What somebody has done to an incident last: "Anna has closed it meanwhile." */
export function meanwhile(i: Incident): string {
  const e = lastDecision(i);
  if (!e) return t("incidents.meanwhile.changed");
  const who = e.who === session.user ? t("incident.who.you", { who: e.who }) : whoText(e.who);
  if (e.kind !== "assigned") return maybe(`incidents.meanwhile.${e.kind}`, { who }) ?? t("incidents.meanwhile.changed");
  if (e.text === "") return t("incidents.meanwhile.freed", { who });
  return e.text === e.who ? t("incidents.meanwhile.took", { who }) : t("incidents.meanwhile.assigned", { who, to: whoText(e.text) });
}
