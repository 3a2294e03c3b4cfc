import { afterEach, describe, expect, test } from "vitest";
import { prefs } from "../../state/prefs.svelte";
import { make } from "../../../tests/fixtures/incident";
import { lasted, titleWords } from "./title";

const over = (s: number) => ({ condition: "closed" as const, closed_at: new Date(Date.parse("2026-05-03T11:59:00Z") + s * 1000).toISOString() });

afterEach(() => { prefs.language = "en"; });

describe.each([
  ["zone that goes on", make(), "Motion in zone yard", "Yard区域出现移动物体"],
  ["zone that is over", make({ class: "person", rule: "back-yard", ...over(4) }), "Person in zone back yard, for 4\u00a0s", "Back yard区域出现人员，持续4秒"],
  ["line", make({ kind: "line", class: "car", rule: "gate", ...over(3) }), "Gate line crossed (car)", "越线：gate（汽车）"],
  ["above", make({ kind: "above", device: "river", value: 3.4, limit: 3.2, unit: "m" }), "River 3.4\u00a0m (limit 3.2)", "River 3.4\u00a0m（限值3.2）"],
  ["above that is over", make({ kind: "above", device: "river", value: 3.4, limit: 3.2, unit: "m", ...over(300) }), "River 3.4\u00a0m (limit 3.2), for 5\u00a0min", "River 3.4\u00a0m（限值3.2），持续5分钟"],
  ["silence that is over", make({ kind: "silence", device: "river", ...over(60) }), "No data: river, for 1\u00a0min", "River无数据，持续1分钟"],
  ["camera that was covered", make({ kind: "health", class: "covered", device: "gate", ...over(60) }), "Camera covered: gate, for 1\u00a0min", "摄像机被遮挡：gate，持续1分钟"],
  ["problem that is new", make({ kind: "health", class: "upside_down", device: "gate" }), "Camera problem: gate", "摄像机异常：gate"],
  ["report", make({ source: "report", kind: "report", title: "桥上有烟", ...over(60) }), "桥上有烟", "桥上有烟"],
])("%s", (_, incident, en, zh) => {
  test("in English", () => { prefs.language = "en"; expect(titleWords(incident)).toBe(en); });
  test("in Chinese", () => { prefs.language = "zh-CN"; expect(titleWords(incident)).toBe(zh); });
});

test("a span that makes no sense is left out", () => {
  expect(lasted(make(over(-5)))).toBeNull();
  expect(lasted(make({ condition: "open", closed_at: make().opened_at }))).toBeNull();
});
