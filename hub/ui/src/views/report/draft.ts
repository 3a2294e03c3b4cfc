// A report that is being written, kept for this tab until it is sent: a reload in the middle of a call
// must not lose what the caller has said.
import { type Severity, severities } from "../../api/types";
import type { Point } from "../../map/geo";
import { languages, translate } from "../../i18n/i18n.svelte";

export interface Draft {
  what: string;
  where: string;
  place: Point | null;
  severity: Severity;
  who: string;
  remarks: string;
  /** the hub takes reports under one key as one, however often they are sent */
  key: string;
  /** what was sent, when no answer came: it may have arrived */
  sent: string;
}

const place = "gridpost.report";

/** 128 random bits; randomUUID is missing on pages that are no secure context. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

export function emptyDraft(): Draft {
  return { what: "", where: "", place: null, severity: "moderate", who: "", remarks: "", key: newKey(), sent: "" };
}

/** What was kept, as far as it makes sense. */
export function readDraft(text: string | null): Draft {
  const draft = emptyDraft();
  try {
    const kept = JSON.parse(text ?? "{}") as Partial<Record<keyof Draft, unknown>>;
    for (const name of ["what", "where", "who", "remarks", "sent"] as const) if (typeof kept[name] === "string") draft[name] = kept[name];
    if (typeof kept.key === "string" && /^[0-9a-f]{32}$/.test(kept.key)) draft.key = kept.key;
    if (severities.includes(kept.severity as Severity)) draft.severity = kept.severity as Severity;
    const p = kept.place as Partial<Point> | null | undefined;
    if (p && Number.isFinite(p.lat) && Number.isFinite(p.lon)) draft.place = { lat: p.lat!, lon: p.lon! };
  } catch {
    /* somebody else's text */
  }
  return draft;
}

export const isEmpty = (d: Draft): boolean => !d.what && !d.where && !d.who && !d.remarks && !d.place;

export function load(user: string): Draft {
  try {
    return readDraft(sessionStorage.getItem(`${place}.${user}`));
  } catch {
    return emptyDraft();
  }
}

export function keep(user: string, d: Draft): void {
  try {
    if (isEmpty(d)) sessionStorage.removeItem(`${place}.${user}`);
    else sessionStorage.setItem(`${place}.${user}`, JSON.stringify(d));
  } catch {
    /* no storage: it holds until the page is left */
  }
}

/** What goes to the hub. said gives the lines for where and who in the writer's language. */
export function bodyOf(d: Draft, said: { where: (text: string) => string; who: (text: string) => string }) {
  const text = [d.where.trim() && said.where(d.where.trim()), d.who.trim() && said.who(d.who.trim()), d.remarks.trim()].filter(Boolean).join("\n");
  return { title: d.what.trim().replace(/\s+/g, " "), ...(text && { text }), severity: d.severity, ...(d.place && { place: d.place }) };
}

/** A report's text in its parts. */
export interface ReportFields {
  where: string;
  who: string;
  remarks: string;
}

/** The text of a report taken apart again, in whichever language it was written. */
export function parseFields(text: string): ReportFields {
  const fields: ReportFields = { where: "", who: "", remarks: "" };
  const rest = text.split("\n").filter((line) => {
    const name = (["where", "who"] as const).find((n) => !fields[n] && starts(n).some((start) => line.startsWith(start)));
    if (!name) return true;
    fields[name] = line.slice(starts(name).find((start) => line.startsWith(start))!.length).trim();
    return false;
  });
  fields.remarks = rest.join("\n").trim();
  return fields;
}

/** How the lines begin, also in reports of earlier versions. */
const starts = (name: "where" | "who"): string[] =>
  languages.flatMap((l) => ([`report.said.${name}`, `report.before.${name}`] as const).map((key) => translate(l, key, { where: "", who: "" }).trim()));
