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
  return text.replace(/\{(\w+)\}/g, (blank, name: string) => {
    const value = params[name];
    if (value === undefined) return blank;
    return typeof value === "number" ? counts[language].format(value) : value;
  });
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
