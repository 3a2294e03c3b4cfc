import { describe, expect, it } from "vitest";
import { translate } from "./i18n.svelte";
import { languages, parts } from "./messages";

const base = (key: string) => key.split("#")[0]!;
const blanks = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]!).sort();
const forms = { en: ["one", "other"], "zh-CN": ["other"] };

describe.each(Object.entries(parts))("%s", (_name, files) => {
  it("has the same keys in every language", () => {
    const sets = languages.map((l) => [...new Set(Object.keys(files[l]).map(base))].sort());
    expect(sets[0]).toEqual(sets[1]);
  });
  it("fills in the same blanks, and says something", () => {
    for (const [key, text] of Object.entries(files.en)) {
      const zh = files["zh-CN"][key] ?? files["zh-CN"][`${base(key)}#other`];
      expect(text.trim(), key).not.toBe("");
      expect(zh?.trim(), key).toBeTruthy();
      // English may leave a number out of its singular: "one new incident".
      if (!key.endsWith("#one")) expect(blanks(zh!), key).toEqual(blanks(text));
    }
  });
  it("has every form of its plurals", () => {
    for (const l of languages) {
      for (const key of Object.keys(files[l]).filter((k) => k.includes("#"))) {
        for (const form of forms[l]) expect(files[l], `${l} ${base(key)}`).toHaveProperty([`${base(key)}#${form}`]);
        expect(forms[l], `${l} ${key}`).toContain(key.split("#")[1]);
      }
    }
  });
});

describe("Chinese", () => {
  const all = Object.values(parts).flatMap((p) => Object.entries(p["zh-CN"])).filter(([key]) => key !== "shell.language.other"); // which is English
  it.each([
    ["no space between Chinese and Latin, digits or blanks", /\p{sc=Han} +[A-Za-z\d{]|[A-Za-z\d}%] +\p{sc=Han}|\p{sc=Han} +\p{sc=Han}/u],
    ["no space beside a full-width mark", /[，。；：？！、（）“”] | [，。；：？！、）”]/u],
    ["full-width marks beside Chinese", /\p{sc=Han}[,:;?!()"]|[,:;?!()"]\p{sc=Han}/u],
    ["an ellipsis of six dots", /(?<!…)…(?!…)|\.\.\./u],
  ])("has %s", (_, wrong) => {
    expect(all.filter(([, text]) => wrong.test(text))).toEqual([]);
  });
});

it("sentences end with a stop in both languages", () => {
  for (const files of Object.values(parts)) {
    for (const [key, text] of Object.entries(files.en)) {
      const zh = files["zh-CN"][key] ?? files["zh-CN"][`${base(key)}#other`]!;
      expect(`${key}: ${zh.endsWith("。")}`).toBe(`${key}: ${text.endsWith(".")}`);
      expect(/[.?!] \p{Lu}/u.test(text.replace(/^\d\. /, "")) && !/[.?!:}\]]$/u.test(text), `${key}: ${text}`).toBe(false);
    }
  }
});

it("no key stands in two parts", () => {
  const all = Object.values(parts).flatMap((p) => Object.keys(p.en));
  expect(all.filter((k, i) => all.indexOf(k) !== i)).toEqual([]);
});

describe("translate", () => {
  it("chooses the plural by count", () => {
    expect(translate("en", "sound.muteFor", { count: 1 })).toBe("Mute for 1 minute");
    expect(translate("en", "sound.muteFor", { count: 15 })).toBe("Mute for 15 minutes");
    expect(translate("zh-CN", "sound.muteFor", { count: 1 })).toBe("静音1分钟");
  });
  it("writes numbers as the language does and leaves text alone", () => {
    expect(translate("en", "shell.waiting", { count: 10234 })).toBe("10,234 open incidents");
    expect(translate("en", "shell.missing.what", { path: "/a{b}" })).toBe("There is no view at /a{b}.");
  });
});
