import { beforeEach, expect, it } from "vitest";
import type { Rule } from "../../api/types";
import { prefs } from "../../state/prefs.svelte";
import { ruleText } from "./words";

const road = { name: "road", kind: "line", severity: "minor", direction: "down", cool_down_ms: 300_000 } as const;

beforeEach(() => { prefs.language = "en"; });

it.each([
  [{ kind: "zone", classes: ["person", "car"], for_ms: 5000 }, "Person or car in the zone for 5 seconds", "区域内出现人员或汽车，持续5秒"],
  [{ kind: "loitering", classes: ["person"], for_ms: 60_000 }, "Person stays in the zone for 1 minute", "人员在区域内逗留，持续1分钟"],
  [{ kind: "wrong-way", direction: "right" }, "Anything that moves moves against the allowed direction (to the right)", "任何移动物体逆向移动（允许方向：向右）"],
  [{ kind: "wrong-way", classes: ["car"] }, "Car moves against the allowed direction", "汽车逆向移动"],
  [{ kind: "crowd", value: 10, classes: ["person"], for_ms: 30_000 }, "More than 10 at once in the zone (person) for 30 seconds", "区域内同时超过10个（人员），持续30秒"],
  [{ kind: "crowd", value: 10 }, "More than 10 at once in the zone (object of any kind)", "区域内同时超过10个（任何物体）"],
  [{ kind: "stopped", classes: ["car", "bus"], for_ms: 300_000 }, "Car or bus stands in the zone for 5 minutes", "汽车或公交车在区域内停留不动，持续5分钟"],
  [{ kind: "absence", classes: ["person"], for_ms: 300_000 }, "No person in the zone for 5 minutes", "区域内没有人员，持续5分钟"],
  [{ kind: "left", classes: ["suitcase", "backpack"], for_ms: 60_000 }, "Suitcase or backpack left in the zone with nobody near it for 1 minute", "行李箱或背包遗留在区域内且附近无人，持续1分钟"],
  [{ kind: "removed", classes: ["suitcase"], for_ms: 10_000 }, "Suitcase gone from the zone for 10 seconds", "行李箱从区域内消失，持续10秒"],
  [{ kind: "sighting", classes: ["smoke", "fire"] }, "Smoke or fire is seen again and again", "多次发现烟雾或明火"],
  [{ kind: "zone", schedule: "night", schedule_title: { en: "at night", zh: "夜间" }, cool_down_ms: 300_000 }, "Anything that moves in the zone, only in these hours: at night, at most one incident in 5 minutes", "区域内出现任何移动物体，仅在以下时段：夜间，每5分钟最多一起事件"],
])("%o", (more, en, zh) => {
  const rule = { name: "r", severity: "minor", ...more } as Rule;
  expect(ruleText(rule)).toBe(en);
  prefs.language = "zh-CN";
  expect(ruleText(rule)).toBe(zh);
});

it("says how often a rule opens an incident at most", () => {
  expect(ruleText({ ...road })).toMatch(/, at most one incident in 5 minutes$/);
  expect(ruleText({ ...road, cool_down_ms: undefined })).not.toMatch(/at most/);
  prefs.language = "zh-CN";
  expect(ruleText({ ...road })).toMatch(/，每5分钟最多一起事件$/);
});

it("says which problems of a camera a rule looks for", () => {
  const view = { name: "view", kind: "health", severity: "minor", for_ms: 30_000, problems: ["dark", "covered", "no_picture"] } as const;
  expect(ruleText({ ...view, problems: [...view.problems] })).toBe("Camera dark, covered or without a picture for 30 seconds");
  expect(ruleText({ ...view, problems: ["moved"] })).toBe("Camera moved for 30 seconds");
  prefs.language = "zh-CN";
  expect(ruleText({ ...view, problems: [...view.problems] })).toBe("摄像机画面过暗、被遮挡或无画面，持续30秒");
});
