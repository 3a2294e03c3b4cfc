// What a tile says, in the reader's language.
import { fmt } from "../i18n/formats.svelte";
import { maybe, t } from "../i18n/i18n.svelte";
import { causeText } from "../i18n/causes";
import type { Cause } from "./causes";
import type { Machine, Phase } from "./machine";

/** A cause in words; the sentence of the hub or the site where it has no code. */
export function causeWords(c: Cause): string {
  const detail = c.coded ? causeText(c.coded) : (c.detail ?? "");
  if (c.code === "other" || (c.code === "codec" && detail)) return detail;
  return maybe(`video.cause.${c.code}`, { n: c.n ?? 0, detail }) ?? detail;
}

/** What the phase is called: "LOST"; while a tile connects for the first time, what it waits for. */
export function phaseWords(m: Pick<Machine, "phase" | "step">): string {
  return m.phase === "connecting" ? t(`video.step.${m.step ?? "turn"}`) : t(`video.state.${m.phase satisfies Phase}`);
}

/** "0.2 s", "14 s", "3 min" */
export function ageWords(ms: number): string {
  return ms < 10_000 ? t("video.seconds", { n: tenths(ms) }) : fmt.span(ms);
}

/** How the age of the picture is known. */
export function ageTip(kind: "taken" | "received"): string {
  return t(`video.age.${kind}`);
}

/** Always one digit behind the point, so that nothing jumps. */
function tenths(ms: number): string {
  return (Math.floor(ms / 100) / 10).toFixed(1); // both languages write it with a point
}
