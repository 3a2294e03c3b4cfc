import { beforeEach, describe, expect, it } from "vitest";
import { ApiError } from "../api/client";
import type { Incident, Ranked } from "../api/types";
import { devices } from "../state/devices.svelte";
import { prefs } from "../state/prefs.svelte";
import { causeOf, problemsOf } from "./causes";
import { errorText, incidentTitle, readingText, sightOf } from "./words";

beforeEach(() => {
  prefs.language = "en";
  devices.loaded = true; // and has none: identifiers stand for names
});

const make = (more: Partial<Incident>) => ({ source: "edge", kind: "zone", rule: "back-yard", device: "river-gauge", title: "as reported", ...more }) as Incident;

describe("titles", () => {
  const station = { en: "bus station", zh: "汽车站" };
  it.each([
    [make({ rule_title: { en: "loitering", zh: "逗留" }, device_title: station, class: "person" }), "Loitering: bus station", "汽车站逗留"],
    [make({ kind: "line", rule_title: { en: "road", zh: "道路" }, device_title: station, class: "motion" }), "Road line crossed", "越线：道路"],
    [make({ kind: "line", rule: "road-line", class: "car" }), "Road line crossed (car)", "越线：road line（汽车）"],
    [make({ kind: "line", rule: "line" }), "Line crossed", "越线：line"],
    [make({ kind: "above", device_title: { en: "door", zh: "门" }, device_class: "opening", limit: 0.5, value: 1, unit: "1" }), "Door open", "门打开"],
    [make({ kind: "above", device_title: { en: "side door", zh: "侧门" }, rule_title: { en: "left open", zh: "久开未关" }, device_class: "opening", limit: 0.5, value: 1 }), "Left open: side door", "侧门久开未关"],
    [make({ kind: "below", device: "pump", device_class: "power", limit: 0.5 }), "Pump off", "Pump关闭"],
    [make({ kind: "above", device: "smoke", device_title: { en: "smoke", zh: "烟雾" }, limit: 60, value: 146, unit: "ppm" }), "Smoke 146\u00a0ppm (limit 60)", "烟雾146\u00a0ppm（限值60）"],
    [make({ kind: "above", rule_title: { en: "high water", zh: "超警戒水位" }, device_title: { en: "river", zh: "河道" }, limit: 3.2, value: 3.4006, unit: "m" }), "High water: river 3.4\u00a0m (limit 3.2)", "河道超警戒水位：3.4\u00a0m（限值3.2）"],
    [make({ kind: "below", limit: 3.2, unit: "m" }), "River gauge below 3.2\u00a0m", "River gauge低于3.2\u00a0m"],
    [make({ kind: "silence" }), "No data: river gauge", "River gauge无数据"],
    [make({ kind: "above", device: "cold-store", limit: -15, value: -14.7, unit: "°C" }), "Cold store -14.7\u00a0°C (limit -15)", "Cold store -14.7\u00a0°C（限值-15）"],
    [make({ kind: "silence", device_title: station }), "No data: bus station", "汽车站无数据"],
    [make({ kind: "loitering", device_title: station, class: "person" }), "Loitering: bus station", "汽车站逗留"],
    [make({ kind: "wrong-way", device_title: { en: "bridge", zh: "大桥" }, class: "car" }), "Wrong way: bridge", "大桥逆行"],
    [make({ kind: "crowd", device_title: station, value: 14, limit: 10 }), "Crowd: bus station 14 (limit 10)", "汽车站人员聚集：14（限值10）"],
    [make({ kind: "crowd", device_title: station }), "Crowd: bus station", "汽车站人员聚集"],
    [make({ kind: "crowd", device_title: station, rule_title: { en: "crush", zh: "拥挤" }, value: 14, limit: 10 }), "Crush: bus station 14 (limit 10)", "汽车站拥挤：14（限值10）"],
    [make({ kind: "stopped", device_title: station, class: "car" }), "Stopped vehicle: bus station", "汽车站违规停车"],
    [make({ kind: "absence", device_title: { en: "gate", zh: "大门" } }), "Nobody at the post: gate", "大门无人在岗"],
    [make({ kind: "left", device_title: station, class: "suitcase" }), "Object left: bus station", "汽车站有物品遗留"],
    [make({ kind: "removed", device_title: station, class: "suitcase" }), "Object removed: bus station", "汽车站有物品被移走"],
    [make({ kind: "sighting", device_title: station, class: "smoke" }), "Smoke seen: bus station", "汽车站发现烟雾"],
    [make({ kind: "sighting", device_title: station, rule_title: { en: "fire", zh: "火灾" }, class: "smoke" }), "Fire: bus station", "汽车站火灾"],
    [make({ kind: "tamper" }), "Back yard: river gauge", "River gauge：back yard"],
    [make({ class: "person" }), "Person in zone back yard", "Back yard区域出现人员"],
    [make({ class: "forklift-truck" }), "Forklift truck in zone back yard", "Back yard区域出现forklift truck"],
    [make({ source: "report", kind: "report" }), "as reported", "as reported"],
  ])("%#", (incident, en, zh) => {
    expect(incidentTitle(incident)).toBe(en);
    prefs.language = "zh-CN";
    expect(incidentTitle(incident)).toBe(zh);
  });

  const names = [undefined, { en: "north gate" }, { zh: "北门" }, { en: "north gate", zh: "北门" }];
  const kinds = ["zone", "line", "loitering", "wrong-way", "crowd", "stopped", "absence", "left", "removed", "sighting", "above", "below", "silence", "kind-of-tomorrow"];
  const all = kinds.flatMap((kind) => names.flatMap((device_title) => names.flatMap((rule_title) =>
    [undefined, "opening"].flatMap((device_class) => [undefined, 0, 1].flatMap((value) => [undefined, 0.5].map((limit) =>
      make({ kind, class: "car", ...(device_title && { device_title }), ...(rule_title && { rule_title }), ...(device_class && { device_class }), ...(value !== undefined && { value }), ...(limit && { limit }) })))))));
  it.each(["en", "zh-CN"] as const)("of every kind, with every combination of names, in %s", (language) => {
    prefs.language = language;
    for (const i of all) {
      const title = incidentTitle(i);
      const about = `${title}: ${JSON.stringify(i)}`;
      expect(title, about).toMatch(/^[^a-z\s].*\S$/s); // begins with a capital
      expect(title, about).not.toMatch(/[{}]|undefined|NaN| {2}|: *:|：.*：/);
      // What has a name is never shown by its identifier.
      if (i.device_title) expect(title, about).not.toMatch(/river gauge/i);
      if (i.rule_title) expect(title, about).not.toMatch(/back yard/i);
      // Where both names are in the reader's language, all of the title is.
      const own = language === "en" ? i.device_title?.en && i.rule_title?.en : i.device_title?.zh && i.rule_title?.zh;
      if (own) expect(title, about).not.toMatch(language === "en" ? /\p{sc=Han}/u : /[a-z]/i);
      if (i.device_class === "opening" && (i.kind === "above" || i.kind === "below")) expect(title, about).not.toMatch(/\d/);
      expect(title, about).not.toMatch(/[a-z]\d|\d[a-z]/i); // words and numbers that run together
      if (language === "zh-CN") expect(title, about).not.toMatch(/\p{sc=Han} |[a-z\d] \p{sc=Han}/iu);
    }
  });
});

it("shows a text as it is", () => {
  expect(readingText({ value: 0, text: "pump 2 on" }, "m")).toBe("pump 2 on");
  expect(readingText({ value: 3.4 }, "m")).toBe("3.4\u00a0m");
  expect(readingText({ value: 0 }, "1", "opening")).toBe("closed");
  expect(readingText({ value: 1 }, "1", "class-of-tomorrow")).toBe("1");
});

describe("causes", () => {
  const full = { cause: "the camera has no room for another viewer (453)", cause_code: "camera_full", cause_params: { status: "453" } };
  const exited = { cause: "the worker exited with status 2", cause_code: "worker_exited", cause_status: "2" };
  it.each([
    [full, "the camera has no room for another viewer (error 453)", "摄像机无法再接受新的连接（错误453）"],
    [{ cause: "x", cause_code: "sensor_silent", cause_params: { seconds: "90", every_seconds: "0.5" } }, "no reading for more than 1 minute, expected every 500\u00a0ms", "超过1分钟没有读数，正常应每500\u00a0ms一次"],
    [{ cause: "x", cause_code: "detection_stopped", cause_params: { device: "back-yard", ...exited, cause_retry_in: "300" } },
      "back yard: nothing is detected: the detector ended with status 2; it fails so often that it is started again only in 5 minutes",
      "back yard：检测已停止：检测程序已退出（状态2）；因频繁失败，5分钟后才重新启动"],
    // A cause within a cause within a cause.
    [{ cause: "x", cause_code: "detection_stopped", cause_params: { device: "yard", cause: "y", cause_code: "worker_quarantined", cause_retry_in: "600", cause_crashes: "2", cause_cause: "z", cause_cause_code: "worker_signal", cause_cause_signal: "11" } },
      "yard: nothing is detected: detection is off for 10 minutes after 2 crashes in a row: the detector was ended by signal 11",
      "yard：检测已停止：检测程序连续崩溃2次，停用10分钟：检测程序被信号11终止"],
    // Of an edge before there were codes, of a code that is not known here, and of one without its parameters.
    [{ cause: "the camera hung up" }, "the camera hung up", "the camera hung up"],
    [{ cause: "the moon is too bright", cause_code: "camera_moonlight" }, "the moon is too bright", "the moon is too bright"],
    [{ cause: "as its edge says", cause_code: "camera_full" }, "as its edge says", "as its edge says"],
    [{ cause: "" }, "", ""],
  ])("%o", (of, en, zh) => {
    expect(causeOf(of)).toBe(en);
    prefs.language = "zh-CN";
    expect(causeOf(of)).toBe(zh);
  });
  it("of an edge are its problems, each once", () => {
    const lost = { code: "alerts_lost", params: { count: "1" }, text: "1 alerts are lost" };
    const health = { time: "", counters: {}, problems: ["1 alerts are lost", "1 alerts are lost", "something else"], problem_codes: [lost, lost, { code: "", text: "something else" }] };
    expect(problemsOf(health)).toEqual(["1 alert is lost: it could not be stored for too long", "something else"]);
    expect(problemsOf(undefined)).toEqual([]);
  });
});

describe("sights", () => {
  it("say why a camera stands where it does", () => {
    const r = { sight: "in_view", distance: 23.4, state: "online", cause: "", reason: "" } as Ranked;
    expect(sightOf(r)).toBe("sees the place from 23 m");
    expect(sightOf({ ...r, state: "offline", cause: "x", cause_code: "camera_closed_connection" })).toBe("sees the place from 23 m, but offline: the camera closed the connection");
  });
});

describe("errors", () => {
  it("say what it means, and what the hub said where that adds something", () => {
    expect(errorText(new ApiError(0, ""))).toBe("The hub cannot be reached.");
    expect(errorText(new ApiError(0, "", "", null, true))).toBe("The hub did not answer in time.");
    expect(errorText(new ApiError(403, "Forbidden", "no"))).toBe("Your role does not allow this.");
    expect(errorText(new ApiError(422, "", "the name is taken"))).toContain("the name is taken");
    const coded = (code: string, params: Record<string, string> = {}) => errorText(new ApiError(422, "", "English", null, false, { code, params, text: "English" }));
    expect(coded("input_empty", { field: "text" })).toBe("The text is empty.");
    expect(coded("incident_transition", { state: "closed" })).toContain("Closed");
    expect(coded("login_throttled", { seconds: "90" })).toBe("Too many attempts. Please wait 1 minute.");
    expect(coded("a_code_of_tomorrow")).toBe("The hub does not accept this. English");
    prefs.language = "zh-CN";
    expect(coded("input_too_long", { field: "title", count: "200" })).toBe("标题最多200个字符。");
    prefs.language = "en";
    expect(errorText(new ApiError(429, "", "", 90))).toBe("Too many attempts. Please wait 1 minute.");
    expect(errorText(new ApiError(418, ""))).toBe("The hub answered 418.");
  });
});
