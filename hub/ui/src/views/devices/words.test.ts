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
