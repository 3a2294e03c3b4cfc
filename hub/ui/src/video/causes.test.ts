import { describe, expect, it } from "vitest";
import en from "../i18n/video.en.json";
import { ApiError } from "../api/client";
import { prefs } from "../state/prefs.svelte";
import { causeOfAnswer, causeOfWords, refusal } from "./causes";
import { causeWords } from "./words";

// Sentences as hub/internal/relay, hub/internal/app, and hub/internal/web make them.
const said: [string, string][] = [
  ["the hub serves its limit of 500 viewers", "hub.full"],
  ["the hub is stopping", "hub.stopping"],
  ["there is no such camera", "camera.none"],
  ["there is no such incident", "incident.none"],
  ["there is no edge gate-7", "site.none"],
  ["the edge gate-7 is not connected", "site.offline"],
  ["the edge gate-7 does not answer", "site.silent"],
  ["the edge does not answer", "site.silent"],
  ["the edge has not begun to send within 10s", "site.slow"],
  ["the picture from the edge ended: connected, but no pictures for 10 s", "camera.silent"],
  ["the picture from the edge ended: the connection was lost", "site.lost"],
  ["the picture from the edge ended: the other side closed the connection", "site.stopping"],
  ["the camera's coding has changed", "camera.coding"],
  ["no coding in common: the camera sends H265, which the offer does not have", "codec"],
  ["the time limit of 10m0s was reached", "over"],
  ["nobody is watching", "elsewhere"],
  ["the viewer could not be reached: no connection came about within 15 s", "line.never"],
  ["the connection to the viewer was lost", "line.lost"],
];

describe("a code of a site", () => {
  const refused = (code: string, params: Record<string, string>, text: string) => causeOfAnswer(new ApiError(503, "Service Unavailable", text, null, false, { code, params, text }));
  it("has its words, and those of its own cause", () => {
    prefs.language = "zh-CN";
    const c = refused("camera_not_online", { device: "yard", cause: "the camera has no room for another viewer (453)", cause_code: "camera_full", cause_status: "453" }, "yard is offline: the camera has no room");
    expect(c.code).toBe("camera.offline");
    expect(causeWords(c)).toContain("摄像机无法再接受新的观看者（错误 453）");
    expect(refused("publications_full", { count: "16" }, "this edge already sends 16 cameras")).toEqual({ code: "site.full", n: 16 });
    expect(causeWords(refused("command_failed", { reason: "no memory" }, "x"))).toBe("命令执行失败：no memory");
    prefs.language = "en";
    expect(causeWords(refused("a_code_of_tomorrow", {}, "the moon is too bright"))).toBe("the moon is too bright");
  });
});

describe("a sentence of the hub", () => {
  it.each(said)("%s", (words, code) => expect(causeOfWords(words).code).toBe(code));
  it("keeps its figures and its own cause", () => {
    expect(causeOfWords("the edge has not begun to send within 10s").n).toBe(10);
  });
  it("that is not known is shown as it is", () => expect(causeOfWords("the moon is too bright")).toEqual({ code: "told", detail: "the moon is too bright" }));
  it("has words", () => {
    for (const [words, code] of said) if (code !== "told") expect(Object.keys(en), words).toContain(`video.cause.${code}`);
  });
  it("is a refusal only when somebody said No", () => {
    expect(refusal(causeOfWords("the picture from the edge ended: the connection was lost"))).toBeNull();
    expect(refusal({ code: "camera.offline" })).toBe("for now");
    expect(refusal({ code: "role" })).toBe("for good");
  });
});
