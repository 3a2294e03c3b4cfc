// Every code of devices/causes.go has words in every language. What it has is in testdata/codes.json, which TestCodes
// (hub/ui/codes_test.go) holds to the registry.
import { beforeEach, describe, expect, it } from "vitest";
import codes from "../../testdata/codes.json";
import { prefs } from "../state/prefs.svelte";
import { causeText } from "./causes";
import { languages, messages } from "./messages";

interface Code { template: string; params?: string[]; optional?: string[] }
const all = Object.entries(codes as Record<string, Code>);
const blanks = (text: string) => [...new Set([...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]!))].sort();
/** Words of English in a Chinese sentence. */
const english = /\b(?:the|is|are|was|were|has|have|not|no|with|within|because|cannot|its|this|that|to|of|edge)\b/i;

beforeEach(() => void (prefs.language = "en"));

it("there are codes", () => expect(all.length).toBeGreaterThan(80));

it("no words are left of codes that are gone", () => {
  const known = new Set(all.map(([code]) => `code.${code}`));
  expect(Object.keys(messages.en).filter((key) => key.startsWith("code.") && !known.has(key.split("#")[0]!))).toEqual([]);
});

describe.each(all)("%s", (code, { params = [], optional = [] }) => {
  it.each(languages)("has words in %s, with each parameter", (language) => {
    const forms = Object.entries(messages[language]).filter(([key]) => key === `code.${code}` || key.startsWith(`code.${code}#`));
    expect(forms.length).toBeGreaterThan(0);
    for (const [key, text] of forms) {
      const always = text.replace(/\[[^\]]*\]/g, "");
      expect(blanks(always), key).toEqual([...params].sort());
      expect(blanks(text), key).toEqual([...new Set([...params, ...optional])].sort());
    }
  });

  it("says all of it, and without what may be missing it is a sentence too", () => {
    const value = (name: string) => (/^(since|date)$/.test(name) ? "2026-05-03T12:00:00Z" : name === "cause" ? "X-cause" : "7");
    const some = Object.fromEntries(params.map((name) => [name, value(name)]));
    const more = { ...some, ...Object.fromEntries(optional.map((name) => [name, value(name)])) };
    for (const language of languages) {
      prefs.language = language;
      for (const p of [some, more]) {
        const words = causeText({ code, params: p, text: "NOT TRANSLATED" });
        expect(words).not.toMatch(/NOT TRANSLATED|[{}[\]]|  /);
        if (p["cause"]) expect(words).toContain("X-cause");
        if (language === "zh-CN") {
          expect(words).toMatch(/\p{Script=Han}/u);
          expect(words).not.toMatch(english);
        }
      }
      expect(causeText({ code, params: more, text: "" }).length).toBeGreaterThanOrEqual(causeText({ code, params: some, text: "" }).length);
    }
  });
});
