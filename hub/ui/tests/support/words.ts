// The console's words, as its message files have them: tests look for what a person would read.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const languages = ["en", "zh-CN"] as const;
export type Language = (typeof languages)[number];

const folder = join(import.meta.dirname, "../../src/i18n");
const messages = new Map<Language, Record<string, string>>(
  languages.map((language) => [
    language,
    Object.assign({}, ...readdirSync(folder).filter((name) => name.endsWith(`.${language}.json`)).map((name) => JSON.parse(readFileSync(join(folder, name), "utf8")) as object)),
  ]),
);

export type Say = (key: string, params?: Record<string, string | number>) => string;

/** Says messages in a language. A key that is missing is an error. */
export function speaker(language: Language): Say {
  const all = messages.get(language)!;
  const plural = new Intl.PluralRules(language);
  return (key, params = {}) => {
    const count = params["count"];
    const text = all[key] ?? (typeof count === "number" ? all[`${key}#${plural.select(count)}`] ?? all[`${key}#other`] : undefined);
    if (text === undefined) throw new Error(`no message ${key} in ${language}`);
    return text.replace(/\{(\w+)\}/g, (_, name: string) => String(params[name] ?? `{${name}}`));
  };
}

/** A text as a pattern: what a message leaves open matches anything. */
export function pattern(text: string): RegExp {
  return new RegExp(text.split(/\{\w+\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".*?"));
}
