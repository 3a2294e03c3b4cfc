import { afterEach, beforeEach, expect, test } from "vitest";
import type { TimelineEntry } from "../../api/types";
import { devices } from "../../state/devices.svelte";
import { prefs } from "../../state/prefs.svelte";
import { make } from "../../../tests/fixtures/incident";
import { entryWords, lines } from "./entries";

const entry = (kind: string, who = "li", text = ""): TimelineEntry => ({ at: "2026-05-03T12:00:00Z", occurred_at: "2026-05-03T12:00:00Z", recorded_at: "2026-05-03T12:00:00Z", kind, who, text });
const say = (e: TimelineEntry, me = "wang") => {
  const w = entryWords(e, make(), me);
  return [w.who, w.text, w.quote].filter(Boolean).join(" | ");
};

beforeEach(() => { devices.loaded = true; }); // and has none: identifiers stand for names
afterEach(() => { prefs.language = "en"; });

test("who did what", () => {
  prefs.language = "en";
  expect(say(entry("opened", "edge north-yard"))).toBe("edge north yard | Opened by the rule yard");
  expect(say(entry("acknowledged"))).toBe("li | Acknowledged");
  expect(say(entry("acknowledged"), "li")).toBe("li (you) | Acknowledged");
  expect(say(entry("assigned", "li", "chen"))).toBe("li | Assigned to chen");
  expect(say(entry("assigned", "li", "li"))).toBe("li | Took over");
  expect(say(entry("assigned", "li", ""))).toBe("li | Assigned to nobody");
  expect(say(entry("noted", "li", "on the way"))).toBe("li | Note | on the way");
  const river = entryWords({ ...entry("changed", "edge a", "in English"), data: { value: 3.4 } }, make({ limit: 3.2, unit: "m" }), "wang");
  expect(river.text).toBe("Now 3.4\u00a0m");
  expect(entryWords({ ...entry("changed", "edge a"), data: { value: -14.113 } }, make({ limit: -15, unit: "°C" }), "").text).toBe("Now -14.1\u00a0°C");
  expect(say(entry("changed", "edge a", "motion in the yard"))).toBe("edge a | Changed");
  expect(say({ ...entry("over", "edge a"), data: { reason: "edge_lost_memory" } })).toBe("edge a | Ended. The edge no longer knows about it.");
  expect(entryWords(entry("closed", "li", "false"), make({ state: "closed", outcome: "false_alarm" }), "")).toMatchObject({ text: "Closed: False alarm", quote: "false" });
  expect(say(entry("acknowledged", "token shift-report"))).toBe("the program shift-report | Acknowledged");
  expect(say(entry("assigned", "token unnamed", "li"))).toBe("a program | Assigned to li");
  expect(say(entry("reopened"))).toBe("li | Reopened");
});
test("in Chinese", () => {
  prefs.language = "zh-CN";
  expect(say(entry("closed", "li", "误报"))).toBe("li | 已结案 | 误报");
});
test("a report in its parts, in whichever language it was written", () => {
  prefs.language = "en";
  expect(entryWords(entry("reported", "li", "地点：丝绸厂\n上报人：王女士 555 0101\n冒烟\n很浓"), make(), "").fields).toEqual({ where: "丝绸厂", who: "王女士 555 0101", remarks: "冒烟\n很浓" });
  expect(entryWords(entry("reported", "li"), make(), "").fields).toBeNull();
});
test("a kind that is not known yet is told as it is", () => {
  expect(say(entry("escalated", "li", "to the deputy"))).toBe("li | escalated: to the deputy");
});
test("changes in a row are one line, the last", () => {
  const all = [entry("opened"), entry("changed", "edge a", "1"), entry("changed", "edge a", "2"), entry("noted"), entry("changed", "edge a", "3")];
  expect(lines(all).map((l) => [l.entry.kind, l.entry.text, l.times])).toEqual([["opened", "", 1], ["changed", "2", 2], ["noted", "", 1], ["changed", "3", 1]]);
});
