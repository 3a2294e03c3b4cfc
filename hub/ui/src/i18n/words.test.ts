import { beforeEach, describe, expect, it } from "vitest";
import { ApiError } from "../api/client";
import type { Incident, Ranked } from "../api/types";
import { prefs } from "../state/prefs.svelte";
import { causeOf } from "./causes";
import { goSpan } from "./forms";
import { errorText, incidentTitle, sightOf } from "./words";

beforeEach(() => void (prefs.language = "en"));

const make = (more: Partial<Incident>) => ({ source: "edge", kind: "zone", rule: "back-yard", device: "river-gauge", title: "as reported", ...more }) as Incident;

describe("titles", () => {
  it.each([
    [make({ class: "person" }), "Person in the back yard", "back yard 内出现人员"],
    [make({ kind: "line", class: "car", rule: "gate" }), "Car across the line gate", "汽车越过 gate"],
    [make({ kind: "above", limit: 3.2, value: 3.4006, unit: "m" }), "River gauge above 3.2\u00a0m: 3.4\u00a0m", "River gauge 高于 3.2\u00a0m：3.4\u00a0m"],
    [make({ kind: "below", limit: 3.2, unit: "m" }), "River gauge below 3.2\u00a0m", "River gauge 低于 3.2\u00a0m"],
    [make({ kind: "silence" }), "River gauge is silent", "River gauge 无数据"],
    [make({ source: "report", kind: "report" }), "as reported", "as reported"],
    [make({ class: "forklift-truck" }), "forklift truck in the back yard", "back yard 内出现forklift truck"],
  ])("%#", (incident, en, zh) => {
    expect(incidentTitle(incident)).toBe(en);
    prefs.language = "zh-CN";
    expect(incidentTitle(incident)).toBe(zh);
  });
});

describe("causes", () => {
  it.each([
    ["nothing answers at 10.0.0.11:554 (no answer within 5 s)", "nothing answers at 10.0.0.11:554 (no answer)", "10.0.0.11:554 无应答（未应答）"],
    ["no reading for more than 1m30s, expected every 30s; the broker at 10.0.0.2:1883 closed the connection",
      "no reading for more than 1 minute, expected every 30 seconds; the broker at 10.0.0.2:1883 closed the connection",
      "超过1分钟没有读数，正常应每30秒一次；消息服务器 10.0.0.2:1883 断开了连接"],
    // A sentence may have "; " in itself.
    ["incidents.db was damaged and has been set aside as x; what it held has not all reached the hub",
      "incidents.db was damaged and set aside as x; the hub may not have got all that was in it", "incidents.db 已损坏，另存为 x；其中内容可能未全部上传中心"],
    ["back-yard: nothing is detected, because the worker stopped: the worker failed: it exited with status 2; it has failed so often that the next try is only in 5m0s",
      "back yard: nothing is detected: the detector failed: it ended with status 2; it fails so often that it is tried again only every 5 minutes",
      "back yard：检测已停止：检测程序出错：已退出（状态 2）；因频繁失败，每5分钟才重试一次"],
    ["something that nobody has foreseen; the camera hung up", "something that nobody has foreseen; the camera hung up", "something that nobody has foreseen；摄像机断开了连接"],
    ["", "", ""],
  ])("%s", (told, en, zh) => {
    expect(causeOf(told)).toBe(en);
    prefs.language = "zh-CN";
    expect(causeOf(told)).toBe(zh);
  });
  it("read spans as Go writes them", () => {
    expect(goSpan("1m30s")).toBe(90_000);
    expect(goSpan("500ms")).toBe(500);
    expect(goSpan("1.5s")).toBe(1500);
    expect(goSpan("10 s")).toBe(10_000);
    expect(goSpan("soon")).toBeNull();
  });
});

describe("sights", () => {
  it("say why a camera stands where it does", () => {
    const r = { sight: "in_view", distance: 23.4, state: "online", cause: "", reason: "" } as Ranked;
    expect(sightOf(r)).toBe("sees the place from 23 m");
    expect(sightOf({ ...r, state: "offline", cause: "the camera hung up" })).toBe("sees the place from 23 m, but is offline: the camera hung up");
  });
});

describe("errors", () => {
  it("say what it means, and what the hub said where that adds something", () => {
    expect(errorText(new ApiError(0, ""))).toBe("The hub cannot be reached.");
    expect(errorText(new ApiError(0, "", "", null, true))).toBe("The hub did not answer in time.");
    expect(errorText(new ApiError(403, "Forbidden", "no"))).toBe("Your role does not allow this.");
    expect(errorText(new ApiError(422, "", "the name is taken"))).toContain("the name is taken");
    expect(errorText(new ApiError(422, "", "cannot be done: text is empty"))).toBe("The text is empty.");
    expect(errorText(new ApiError(429, "", "", 90))).toBe("Too many attempts. Please wait 1 minute.");
    expect(errorText(new ApiError(418, ""))).toBe("The hub answered 418.");
  });
});
