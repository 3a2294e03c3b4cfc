// Words in the reader's language. t() is reactive: what calls it in a template is drawn again when
// the language changes.
import { prefs } from "../state/prefs.svelte";
import { type Key, type Language, messages } from "./messages";

export type { Key, Language } from "./messages";
export { languages } from "./messages";

export type Params = Record<string, string | number>;

const plural: Record<Language, Intl.PluralRules> = {
  en: new Intl.PluralRules("en"),
  "zh-CN": new Intl.PluralRules("zh-CN"),
};
const counts: Record<Language, Intl.NumberFormat> = {
  en: new Intl.NumberFormat("en"),
  "zh-CN": new Intl.NumberFormat("zh-CN"),
};

/** The message in a given language. Numbers are written as that language writes them. */
export function translate(language: Language, key: Key, params?: Params): string {
  const all = messages[language];
  let text = all[key];
  if (text === undefined) {
    const form = plural[language].select(Number(params?.["count"] ?? 0));
    text = all[`${key}#${form}`] ?? all[`${key}#other`] ?? key;
  }
  if (!params) return text;
  let out = "";
  let done = 0;
  for (const { 0: blank, 1: name, index } of text.matchAll(/\{(\w+)\}/g)) {
    out = joined(out, text.slice(done, index));
    const value = params[name!];
    out = joined(out, value === undefined ? blank : typeof value === "number" ? counts[language].format(value) : value);
    done = index + blank.length;
  }
  return joined(out, text.slice(done));
}

const latin = /[\p{Script=Latin}\d]$/u;
const latinOrNegative = /^([\p{Script=Latin}\d]|[-−]\d)/u; // "Cold store -14.7": without the space it reads as a hyphen

/** Puts a space between two pieces that would run together: a Chinese message has none between its blanks. */
function joined(before: string, after: string): string {
  return latin.test(before) && latinOrNegative.test(after) ? `${before} ${after}` : before + after;
}

/** The message in the reader's language. */
export function t(key: Key, params?: Params): string {
  return translate(prefs.language, key, params);
}

/** For a key that was put together at run time, such as "kind." + incident.kind; null if there is none. */
export function maybe(key: string, params?: Params): string | null {
  const all = messages[prefs.language];
  if (!(key in all) && !(`${key}#other` in all)) return null;
  return t(key as Key, params);
}
