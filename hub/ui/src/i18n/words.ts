// What things are called, in the reader's language: the hub's own titles, reasons and causes are
// English sentences, and everything they say is in fields or in a known form too.
import { ApiError } from "../api/client";
import type { Incident, Ranked } from "../api/types";
import { causeOf, causeText, knownCode } from "./causes";
import { fmt } from "./formats.svelte";
import { maybe, t } from "./i18n.svelte";

export { causeOf, problemsOf } from "./causes";

/** A name made for machines as people read it: river-gauge -> river gauge. */
export const named = (name: string): string => name.replaceAll("-", " ");

function capital(text: string): string {
  return text.charAt(0).toLocaleUpperCase() + text.slice(1);
}

/** A value of a sensor: a quantity, or the text that it sent. */
export const readingText = (r: { value: number; text?: string }, unit?: string): string => r.text || fmt.quantity(r.value, unit);

/** What a detection calls the thing: person, car, motion. */
export function className(name: string | undefined): string {
  return maybe(`class.${name || "motion"}`) ?? named(name ?? "");
}

/** Who did it. The hub writes users as they are, programs as "token NAME" and boxes as "edge NAME". */
export function whoText(who: string): string {
  const [, kind, name] = who.match(/^(token|edge) (.+)$/) ?? [];
  if (who === "command line") return t("who.commandLine"); // of the hub's own machine
  if (kind === "edge") return t("who.box", { name: named(name!) });
  if (kind === "token") return name === "unnamed" ? t("who.program") : t("who.token", { name: name! }); // the default of `hub token create`
  return who;
}

/** The sites that somebody may see; null: all. */
export const sitesText = (sites: readonly string[] | null): string => (sites ? sites.map(named).join(", ") : t("admin.sites.all"));

/** What came of an incident. */
export const outcomeText = (outcome: string): string => maybe(`outcome.${outcome}`) ?? named(outcome);

/** What happened, in words. A report keeps the title that its reporter gave it. */
export function incidentTitle(i: Incident): string {
  if (i.source === "report") return i.title;
  const params = { device: named(i.device), rule: named(i.rule), class: className(i.class) };
  switch (i.kind) {
    case "zone":
      return t("title.zone", params);
    case "line":
      return t("title.line", params);
    case "above":
    case "below": {
      const limit = i.limit === undefined ? t("title.itsLimit") : fmt.setting(i.limit, i.unit);
      if (i.value === undefined) return capital(t(`title.${i.kind}`, { ...params, limit }));
      return capital(t(`title.${i.kind}Value`, { ...params, limit, value: fmt.quantity(i.value, i.unit, i.limit) }));
    }
    case "silence":
      return capital(t("title.silence", params));
  }
  return capital(t("title.other", params));
}

/** Why a camera stands where it does in the ranking: "sees the place from 23 m". */
export function sightOf(r: Ranked): string {
  const sight = maybe(`sight.${r.sight}`, { distance: fmt.distance(r.distance) }) ?? r.reason;
  if (r.state === "online") return sight;
  return r.cause ? t("sight.offline", { sight, cause: causeOf(r) }) : t("sight.offlineNoCause", { sight });
}

/** What an error means to a person: the hub's code in words, else its status, with the English detail where it has no code. */
export function errorText(error: unknown): string {
  if (!(error instanceof ApiError)) return error instanceof Error ? error.message : String(error);
  if (error.status === 0) return t(error.timeout ? "error.timeout" : "error.offline");
  if (error.reason && knownCode(error.reason.code)) return causeText(error.reason);
  if (error.status === 429 && error.retryAfter) return t("error.429after", { span: fmt.spanLong(error.retryAfter * 1000) });
  const text = maybe(`error.${error.status}`) ?? t("error.other", { status: error.status });
  const detail = [400, 409, 422, 502, 503].includes(error.status) ? error.detail : "";
  return detail ? t("error.detail", { text, detail }) : text;
}
