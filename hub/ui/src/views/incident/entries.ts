// The time line in words. The hub writes kinds and, where people wrote, their text.
import type { Incident, TimelineEntry } from "../../api/types";
import { fmt } from "../../i18n/formats.svelte";
import { maybe, t } from "../../i18n/i18n.svelte";
import { alone } from "../../i18n/names";
import { outcomeText, valueWord, whoText } from "../../i18n/words";
import type { IconName } from "../../ui/icons";
import { type ReportFields, parseFields } from "../report/draft";

export interface Words {
  text: string; // what happened
  quote: string; // what a person wrote
  who: string;
  icon: IconName;
  fields: ReportFields | null; // a report in its parts
  person: boolean; // done by a person or a program at the hub, not told by an edge
}

const icons: Record<string, IconName> = {
  opened: "incidents", changed: "sensor", over: "check", evidence: "snapshot", reported: "report", acknowledged: "check",
  unacknowledged: "undo", assigned: "user", noted: "note", closed: "close", reopened: "undo", joined: "report", held: "info", released: "info",
};

export function entryWords(e: TimelineEntry, i: Incident, me: string): Words {
  const who = e.who === me ? t("incident.who.you", { who: e.who }) : whoText(e.who);
  const spoken = ["noted", "closed", "reopened"].includes(e.kind) ? e.text : "";
  const fields = e.kind === "reported" && e.text ? parseFields(e.text) : null;
  let text = maybe(`incident.entry.${e.kind}`, { text: e.text, rule: alone(i.rule_title, i.rule) });
  const data = (e.data ?? {}) as Data;
  if (e.kind === "changed" && data.value !== undefined) text = t("incident.entry.changedTo", { value: valueWord(i.device_class, data.value) ?? fmt.quantity(data.value, i.unit, i.limit) });
  if (e.kind === "evidence" && e.text.endsWith(".mp4")) text = t("incident.entry.clip");
  const reason = data.reason ? maybe(`incident.reason.${data.reason}`) : null;
  if (reason) text = text ? t("incident.entry.because", { text, reason }) : reason;
  if (e.kind === "closed" && i.outcome) text = t("incident.entry.closedAs", { outcome: outcomeText(i.outcome) });
  if (e.kind === "assigned") text = e.text === "" ? t("incident.entry.freed") : e.text === e.who ? t("incident.entry.took") : t("incident.entry.assigned", { text: whoText(e.text) });
  return { text: text ?? [e.kind, e.text].filter(Boolean).join(": "), quote: spoken, fields, who, icon: icons[e.kind] ?? "info", person: !e.who.startsWith("edge ") };
}

/** What the hub adds to an entry in fields. */
interface Data {
  value?: number; // that was measured
  reason?: string; // a code
}

/** Changes in a row that an edge told are one: a value that moves is not a story. */
export interface Line {
  entry: TimelineEntry; // the last of them
  times: number;
}

export function lines(timeline: readonly TimelineEntry[]): Line[] {
  const out: Line[] = [];
  for (const entry of timeline) {
    const last = out.at(-1);
    if (entry.kind === "changed" && last?.entry.kind === "changed") out[out.length - 1] = { entry, times: last.times + 1 };
    else out.push({ entry, times: 1 });
  }
  return out;
}
