import { describe, expect, it } from "vitest";
import en from "../i18n/video.en.json";
import { ApiError, type Reason } from "../api/client";
import { prefs } from "../state/prefs.svelte";
import { causeOfAnswer, causeOfCode, causeOfEnd, refusal } from "./causes";
import { causeWords } from "./words";

const coded = (code: string, params: Record<string, string> = {}): Reason => ({ code, params, text: `English of ${code}` });
const upstream = (code: string, params: Record<string, string> = {}) =>
  coded("video_upstream_ended", { cause: "in English", cause_code: code, ...Object.fromEntries(Object.entries(params).map(([k, v]) => [`cause_${k}`, v])) });

// Codes as hub/internal/relay, hub/internal/app and hub/internal/web give them.
const known: [Reason, string, number?][] = [
  [coded("video_viewers_full", { count: "500" }), "hub.full", 500],
  [coded("hub_stopping"), "hub.stopping"],
  [coded("video_camera_unknown"), "camera.none"],
  [coded("incident_unknown"), "incident.none"],
  [coded("video_edge_unknown", { edge: "gate-7" }), "site.none"],
  [coded("video_edge_offline", { edge: "gate-7" }), "site.offline"],
  [coded("video_edge_silent"), "site.silent"],
  [coded("video_edge_slow", { seconds: "10" }), "site.slow", 10],
  [upstream("session_no_frames", { seconds: "10" }), "camera.silent", 10],
  [upstream("session_lost"), "site.lost"],
  [upstream("session_closed_by_peer"), "site.stopping"],
  [upstream("video_b_frames"), "camera.bframes"],
  [coded("video_codec_changed"), "camera.coding"],
  [coded("video_codec_missing"), "codec"],
  [coded("video_time_limit", { seconds: "600" }), "over", 600],
  [coded("video_nobody_watches"), "elsewhere"],
  [coded("video_viewer_unreachable", { cause: "x", cause_code: "session_not_connected", cause_seconds: "15" }), "line.never"],
  [coded("video_viewer_lost"), "line.lost"],
];

describe("a code of a site", () => {
  const refused = (code: string, params: Record<string, string>, text: string) => causeOfAnswer(new ApiError(503, "Service Unavailable", text, null, false, { code, params, text }));
  it("has its words, and those of its own cause", () => {
    prefs.language = "zh-CN";
    const c = refused("camera_not_online", { device: "yard", cause: "the camera has no room for another viewer (453)", cause_code: "camera_full", cause_status: "453" }, "yard is offline: the camera has no room");
    expect(c.code).toBe("camera.offline");
    expect(causeWords(c)).toContain("摄像机无法再接受新的连接（错误453）");
    expect(refused("publications_full", { count: "16" }, "this edge already sends 16 cameras")).toEqual({ code: "site.full", n: 16 });
    expect(causeWords(refused("command_failed", { reason: "no memory" }, "x"))).toBe("命令执行失败：no memory");
    const bframes = refused("video_b_frames", {}, "the camera sends B-frames");
    expect(refusal(bframes)).toBe("for good");
    expect(causeWords(bframes)).toContain("摄像机发送B帧");
    prefs.language = "en";
    const h265 = causeOfAnswer(new ApiError(406, "Not Acceptable", "no coding in common", null, false, { code: "codec_not_playable", params: { codec: "H.265" }, text: "x" }));
    expect(causeWords(h265)).toBe("the camera sends H.265, which this browser cannot play");
    expect(causeWords(refused("a_code_of_tomorrow", {}, "the moon is too bright"))).toBe("the moon is too bright");
  });
});

describe("a code of the hub", () => {
  it.each(known)("%o", (reason, code, n) => {
    expect(causeOfCode(reason)).toMatchObject({ code, ...(n && { n }) });
    expect(Object.keys(en)).toContain(`video.cause.${code}`);
  });
  it("that is not known is shown by its English text", () => {
    const c = causeOfEnd(new ApiError(410, "Gone", "the moon is too bright", null, false, coded("a_code_of_tomorrow")));
    expect(c.code).toBe("other");
    expect(causeWords(c)).toBe("English of a_code_of_tomorrow");
    expect(causeOfEnd(new ApiError(410, "Gone", "the moon is too bright"))).toEqual({ code: "other", detail: "the moon is too bright" });
  });
  it("is a refusal only when it was refused, and not when something broke", () => {
    expect(refusal(causeOfCode(upstream("session_lost")))).toBeNull();
    expect(refusal({ code: "camera.offline" })).toBe("for now");
    expect(refusal({ code: "role" })).toBe("for good");
  });
});
