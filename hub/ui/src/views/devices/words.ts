// What a device's rules and place say, in words.
import type { Place, Rule } from "../../api/types";
import { fmt } from "../../i18n/formats.svelte";
import { maybe, t } from "../../i18n/i18n.svelte";
import { capital, inSentence, ruleTitle } from "../../i18n/names";
import { className, valueWord } from "../../i18n/words";

/** What makes a rule open an incident: "above 3.2 m for 10 s, at most one incident in 5 minutes". */
export function ruleText(r: Rule, unit = "", deviceClass?: string): string {
  const text = condition(r, unit, deviceClass);
  const hours = r.schedule ? t("devices.rule.while", { schedule: inSentence(r.schedule_title, r.schedule) }) : "";
  const coolDown = r.cool_down_ms ? t("devices.rule.coolDown", { span: fmt.spanLong(r.cool_down_ms) }) : "";
  return text + hours + coolDown;
}

function condition(r: Rule, unit: string, deviceClass?: string): string {
  const lasting = r.for_ms ? t("devices.rule.for", { span: fmt.spanLong(r.for_ms) }) : "";
  const things = (r.classes ?? []).map((c) => className(c).toLocaleLowerCase()).join(t("devices.rule.or"));
  const what = capital(things || t("devices.rule.anything"));
  switch (r.kind) {
    case "above":
    case "below": {
      const word = valueWord(deviceClass, Number(r.kind === "above"));
      if (word !== null) return t("devices.rule.state", { word: capital(word), lasting });
      return t(`devices.rule.${r.kind}`, { limit: r.value === undefined ? t("devices.rule.limit") : fmt.setting(r.value, unit), lasting });
    }
    case "zone":
      return t("devices.rule.zone", { what, lasting });
    case "line":
      return t("devices.rule.line", { what, way: maybe(`devices.rule.way.${r.direction ?? "any"}`) ?? "" });
    case "loitering":
    case "stopped":
    case "left":
    case "removed":
      return t(`devices.rule.${r.kind}`, { what, lasting });
    case "wrong-way":
      return t("devices.rule.wrong-way", { what, way: maybe(`devices.rule.allowed.${r.direction ?? "any"}`) ?? "" });
    case "crowd":
      return t("devices.rule.crowd", { what: things || t("devices.rule.anybody"), lasting, limit: r.value === undefined ? t("devices.rule.limit") : fmt.setting(r.value) });
    case "absence":
      return t("devices.rule.absence", { what: things || t("devices.rule.anybody"), lasting });
    case "sighting":
      return t("devices.rule.sighting", { what });
    case "health":
      return t("devices.rule.health", { problems: either((r.problems ?? []).map((p) => maybe(`devices.rule.problem.${p}`) ?? p)), lasting });
    case "silence":
      return r.for_ms ? t("devices.rule.silence", { span: fmt.spanLong(r.for_ms) }) : t("devices.rule.silent");
  }
  return maybe(`kind.${r.kind}`) ?? ruleTitle(r);
}

/** "dark, covered or blurred" */
function either(all: string[]): string {
  const last = all.slice(-1).join("");
  return all.length < 2 ? last : all.slice(0, -1).join(t("devices.rule.comma")) + t("devices.rule.or") + last;
}

const winds = ["n", "ne", "e", "se", "s", "sw", "w", "nw"] as const;

/** Which way a camera looks: "north-east, 90° wide, to 80 m". */
export function viewText(p: Place): string {
  if (!p.fov) return "";
  const wind = winds[Math.round(((p.heading ?? 0) % 360) / 45) % 8] ?? "n";
  const parts = [t(`devices.wind.${wind}`), t("devices.view.wide", { degrees: Math.round(p.fov) })];
  if (p.range) parts.push(t("devices.view.to", { distance: fmt.distance(p.range) }));
  return parts.join(t("devices.list.and"));
}
