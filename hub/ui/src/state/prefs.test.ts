import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { readPrefs } from "./prefs.svelte";
import { sound } from "./sound.svelte";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("prefs", () => {
  it("are what was kept", () => {
    expect(readPrefs('{"language":"zh-CN","theme":"light","sound":false,"volume":0.2,"keys":false,"soundFrom":"severe","notify":true,"notifyFrom":"extreme"}')).toEqual({
      language: "zh-CN", theme: "light", sound: false, volume: 0.2, keys: false, soundFrom: "severe", notify: true, notifyFrom: "extreme",
    });
  });
  it("are the defaults where what was kept makes no sense", () => {
    for (const text of [null, "", "null", "[]", "{", '{"language":"tlh","theme":3,"volume":7,"sound":"yes","soundFrom":"loud","notifyFrom":0,"notify":"yes"}']) {
      const p = readPrefs(text);
      expect(["en", "zh-CN"]).toContain(p.language);
      expect(p).toMatchObject({ theme: "system", sound: true, volume: 0.7, keys: true, soundFrom: "minor", notify: false, notifyFrom: "moderate" });
    }
  });
});

describe("a mute", () => {
  it("ends by itself", () => {
    sound.mute(5);
    expect(sound.muted).toBe(true);
    vi.advanceTimersByTime(5 * 60_000 - 1);
    expect(sound.muted).toBe(true);
    vi.advanceTimersByTime(2);
    expect(sound.muted).toBe(false);
  });
  it("can be ended, and a later one is not cut short by an earlier", () => {
    sound.mute(5);
    sound.unmute();
    expect(sound.muted).toBe(false);
    sound.mute(5);
    vi.advanceTimersByTime(60_000);
    sound.mute(30);
    vi.advanceTimersByTime(10 * 60_000);
    expect(sound.muted).toBe(true);
    sound.unmute();
  });
});
