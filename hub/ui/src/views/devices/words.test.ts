import { beforeEach, expect, it } from "vitest";
import { prefs } from "../../state/prefs.svelte";
import { ruleText } from "./words";

const road = { name: "road", kind: "line", severity: "minor", direction: "down", cool_down_ms: 300_000 } as const;

beforeEach(() => { prefs.language = "en"; });

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
