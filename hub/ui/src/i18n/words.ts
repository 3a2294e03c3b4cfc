// What things are called, in the reader's language: the hub's own titles, reasons and causes are
// English sentences, and everything they say is in fields or in a known form too.
//
// A title is made of the kind of the rule, of what people call the rule and the device, and of what was
// measured: "Loitering: bus station", "Road line crossed (car)", "Smoke 146 ppm (limit 60)", "Door open".
import { ApiError } from "../api/client";
import type { Incident, Ranked } from "../api/types";
import { prefs } from "../state/prefs.svelte";
import { causeOf, causeText, knownCode } from "./causes";
import { fmt } from "./formats.svelte";
import { maybe, t } from "./i18n.svelte";
import { capital, inSentence, named, siteName } from "./names";

export { causeOf, problemsOf } from "./causes";
export { named } from "./names";

/** What a value of a sensor with the values 1 and 0 means: open, closed. null: the sensor has no such class. */
export const valueWord = (deviceClass: string | undefined, value: number): string | null =>
  deviceClass ? maybe(`value.${deviceClass}.${value >= 0.5 ? "on" : "off"}`) : null;

/** A value of a sensor: a word, a quantity, or the text that it sent. */
export const readingText = (r: { value: number; text?: string }, unit?: string, deviceClass?: string): string =>
  r.text || (valueWord(deviceClass, r.value) ?? fmt.quantity(r.value, unit));

/** What a detection calls the thing: person, car, motion. */
export function className(name: string | undefined): string {
  return maybe(`class.${name || "motion"}`) ?? named(name ?? "");
}

/** Who did it. The hub writes users as they are, programs as "token NAME" and edges as "edge NAME". */
export function whoText(who: string): string {
  const [, kind, name] = who.match(/^(token|edge) (.+)$/) ?? [];
  if (who === "command line") return t("who.commandLine"); // of the hub's own machine
  if (kind === "edge") return t("who.edge", { name: siteName(name!) });
  if (kind === "token") return name === "unnamed" ? t("who.program") : t("who.token", { name: name! }); // the default of `hub token create`
  return who;
}

/** The sites that somebody may see; null: all. */
export const sitesText = (sites: readonly string[] | null): string => (sites ? sites.map(siteName).join(t("list.and")) : t("admin.sites.all"));

/** What came of an incident. */
export const outcomeText = (outcome: string): string => maybe(`outcome.${outcome}`) ?? named(outcome);

/** What happened, in words. A report keeps the title that its reporter gave it. */
export function incidentTitle(i: Incident): string {
  return i.source === "report" ? i.title : capital(plainTitle(i));
}

function plainTitle(i: Incident): string {
  const device = inSentence(i.device_title, i.device);
  const rule = inSentence(i.rule_title, i.rule);
  const ruled = Boolean(i.rule_title?.en || i.rule_title?.zh);
  switch (i.kind) {
    case "line":
      return lineTitle(rule, i.class);
    case "above":
    case "below": {
      const word = valueWord(i.device_class, i.value ?? Number(i.kind === "above"));
      if (word !== null) return ruled ? t("title.ruleAt", { rule, device }) : t("title.state", { device, word });
      return levelTitle(i, device, ruled ? rule : "");
    }
    case "crowd":
      if (i.value === undefined) break;
      return levelTitle(i, device, ruled ? rule : t("title.what.crowd"));
    case "sighting":
      if (!ruled) return t("title.sighting", { class: className(i.class), device });
      break;
    case "zone":
      if (!ruled) return t("title.zone", { rule, class: className(i.class) });
      break;
    case "silence":
      if (!ruled) return t("title.silence", { device });
      break;
    case "health": // one rule looks for several problems: its own title does not say what has happened
      return maybe(`title.health.${i.class}`, { device }) ?? t("title.health", { device });
  }
  // A kind with a name of its own says what has happened where the rule has none.
  const what = ruled ? rule : maybe(`title.what.${i.kind}`);
  return what ? t("title.ruleAt", { rule: what, device }) : t("title.other", { rule, device });
}

/** "Road line crossed": a rule that is called a line itself is not called so twice. */
function lineTitle(rule: string, of: string | undefined): string {
  const line = prefs.language === "en" ? rule.replace(/(^| )line$/i, "") : rule;
  if (!of || of === "motion") return t("title.line", { rule: line }).trim();
  return t("title.lineClass", { rule: line, class: className(of).toLocaleLowerCase() }).trim();
}

function levelTitle(i: Incident, device: string, rule: string): string {
  const what = rule ? t("title.ruleLevel", { rule, device }) : device;
  if (i.value === undefined) return t(i.kind === "above" ? "title.above" : "title.below", { what, limit: i.limit === undefined ? t("title.itsLimit") : fmt.setting(i.limit, i.unit) });
  const value = fmt.quantity(i.value, i.unit, i.limit);
  return i.limit === undefined ? t("title.value", { what, value }) : t("title.valueLimit", { what, value, limit: fmt.setting(i.limit) });
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
