import { describe, expect, it } from "vitest";
import { clipsOf, frameOf, momentOf, placeOf, secondsOf, stepFrom } from "./clip";

const clip = { from: "2026-05-01T10:00:00Z", to: "2026-05-01T10:00:30Z", frames: 500, codec: "avc1.64001f", signed: true, gaps: [{ from: "2026-05-01T10:00:05Z", to: "2026-05-01T10:00:15Z" }] };

describe("the times of a clip", () => {
  it("are counted from its first frame", () => {
    expect(secondsOf(clip)).toBe(30);
    expect(placeOf(clip, "2026-05-01T10:00:10.500Z")).toBe(10.5);
    expect(placeOf(clip, "2026-05-01T09:59:59Z")).toBeNull();
    expect(placeOf(clip, "2026-05-01T10:00:31Z")).toBeNull();
    expect(momentOf(clip, 10.5)).toBe(Date.parse("2026-05-01T10:00:10.500Z"));
  });
  it("know how long a frame is, where none is missing", () => {
    expect(frameOf(clip)).toBeCloseTo(0.04);
    expect(frameOf({ ...clip, frames: 0 })).toBeGreaterThan(0);
  });
  it("step into the middle of a frame, within the clip", () => {
    expect(stepFrom(clip, 1, 1)).toBeCloseTo(1.06);
    expect(stepFrom(clip, 1, -1)).toBeCloseTo(0.98);
    expect(stepFrom(clip, 0, -1)).toBe(0);
    expect(stepFrom(clip, 30, 1)).toBeCloseTo(29.98);
  });
});

describe("the clips of an incident", () => {
  it("are its video, the oldest first", () => {
    const file = (name: string, content_type: string, time: string) => ({ name, content_type, time, url: "", size: 1, sha256: "", complete: true });
    const all = [file("clip-2.mp4", "video/mp4", "2026-05-01T10:00:09Z"), file("a.jpg", "image/jpeg", "2026-05-01T10:00:00Z"), file("clip.mp4", "video/mp4", "2026-05-01T10:00:01Z")];
    expect(clipsOf(all).map((f) => f.name)).toEqual(["clip.mp4", "clip-2.mp4"]);
  });
});
