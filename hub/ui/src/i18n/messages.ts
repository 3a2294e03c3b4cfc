// Every part of the console has its own two files here, <part>.en.json and <part>.zh-CN.json, with
// flat keys "area.name". Blanks are {name}. A plural has one key per form, "area.name#one" and
// "area.name#other" (CLDR names; Chinese has only #other), and is chosen by {count}.
// messages.test.ts holds that both languages have the same keys and blanks.
//
// How Chinese is written: no space stands between Chinese characters and Latin letters, digits or blanks
// (see map.best); base.css lets the browser draw the gap there (text-autospace). Marks are full-width beside
// Chinese, an ellipsis is ……, and a middle dot that separates has a space on each side. In both languages
// a sentence ends with a stop; names, buttons and causes, which stand within other sentences, have none.
import adminEn from "./admin.en.json";
import adminZh from "./admin.zh-CN.json";
import clipEn from "./clip.en.json";
import clipZh from "./clip.zh-CN.json";
import codesEn from "./codes.en.json";
import codesZh from "./codes.zh-CN.json";
import devicesEn from "./devices.en.json";
import devicesZh from "./devices.zh-CN.json";
import findEn from "./find.en.json";
import findZh from "./find.zh-CN.json";
import incidentEn from "./incident.en.json";
import incidentZh from "./incident.zh-CN.json";
import incidentsEn from "./incidents.en.json";
import incidentsZh from "./incidents.zh-CN.json";
import mapEn from "./map.en.json";
import mapZh from "./map.zh-CN.json";
import peopleEn from "./people.en.json";
import peopleZh from "./people.zh-CN.json";
import quietEn from "./quiet.en.json";
import quietZh from "./quiet.zh-CN.json";
import refusalsEn from "./refusals.en.json";
import refusalsZh from "./refusals.zh-CN.json";
import reportEn from "./report.en.json";
import reportZh from "./report.zh-CN.json";
import shellEn from "./shell.en.json";
import shellZh from "./shell.zh-CN.json";
import videoEn from "./video.en.json";
import videoZh from "./video.zh-CN.json";
import wordsEn from "./words.en.json";
import wordsZh from "./words.zh-CN.json";

const en = {
  ...shellEn, ...wordsEn, ...incidentsEn, ...findEn, ...incidentEn, ...clipEn, ...mapEn, ...videoEn, ...devicesEn, ...adminEn, ...peopleEn, ...reportEn, ...quietEn, ...refusalsEn, ...codesEn,
};
const zh = {
  ...shellZh, ...wordsZh, ...incidentsZh, ...findZh, ...incidentZh, ...clipZh, ...mapZh, ...videoZh, ...devicesZh, ...adminZh, ...peopleZh, ...reportZh, ...quietZh, ...refusalsZh, ...codesZh,
};

export const languages = ["zh-CN", "en"] as const;
export type Language = (typeof languages)[number];

/** What a message is asked for by: every key of the English files, plurals without their form. */
export type Key = keyof typeof en extends infer K ? (K extends `${infer Base}#${string}` ? Base : K) : never;

export const messages: Record<Language, Record<string, string>> = { en, "zh-CN": zh };

/** The files one by one, for the tests. */
export const parts: Record<string, Record<Language, Record<string, string>>> = {
  shell: { en: shellEn, "zh-CN": shellZh },
  words: { en: wordsEn, "zh-CN": wordsZh },
  incidents: { en: incidentsEn, "zh-CN": incidentsZh },
  find: { en: findEn, "zh-CN": findZh },
  incident: { en: incidentEn, "zh-CN": incidentZh },
  clip: { en: clipEn, "zh-CN": clipZh },
  map: { en: mapEn, "zh-CN": mapZh },
  video: { en: videoEn, "zh-CN": videoZh },
  devices: { en: devicesEn, "zh-CN": devicesZh },
  admin: { en: adminEn, "zh-CN": adminZh },
  people: { en: peopleEn, "zh-CN": peopleZh },
  report: { en: reportEn, "zh-CN": reportZh },
  quiet: { en: quietEn, "zh-CN": quietZh },
  refusals: { en: refusalsEn, "zh-CN": refusalsZh },
  codes: { en: codesEn, "zh-CN": codesZh },
};
