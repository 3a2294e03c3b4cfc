// Where an incident stands with people, in words: "Open", "With li", "Acknowledged by wang".
import type { Incident } from "../../api/types";
import { t } from "../../i18n/i18n.svelte";
import { whoText } from "../../i18n/words";

export function whoHas(i: Incident, me: string): string {
  if (i.state === "open") return t("state.open");
  if (i.state === "closed") return i.state_by ? i.state_by === me ? t("incidents.who.closedMine") : t("incidents.who.closed", { who: whoText(i.state_by) }) : t("state.closed");
  if (i.assignee) return i.assignee === me ? t("incidents.who.mine") : t("incidents.who.with", { who: whoText(i.assignee) });
  return i.state_by ? i.state_by === me ? t("incidents.who.acknowledgedMine") : t("incidents.who.acknowledged", { who: whoText(i.state_by) }) : t("state.acknowledged");
}
