import { describe, expect, it } from "vitest";
import * as f from "./format";

const at = "2026-05-03T06:03:27.123Z";
const zone = "Asia/Shanghai";

describe("times", () => {
  it("are of the zone, to the second, by 24 hours", () => {
    expect(f.clockTime("en", at, zone)).toBe("14:03:27");
    expect(f.clockTime("zh-CN", at, zone)).toBe("14:03:27");
    expect(f.clockTime("en", "2026-05-02T16:00:05Z", zone)).toBe("00:00:05");
  });
  it("have a day that cannot be misread", () => {
    expect(f.day("en", at, zone)).toBe("3 May 2026");
    expect(f.day("zh-CN", at, zone)).toBe("2026年5月3日");
    expect(f.moment("en", at, zone)).toBe("3 May 2026 14:03:27");
  });
  it("are brief when they are near", () => {
    expect(f.brief("en", at, Date.parse(at) + 3_600_000, zone)).toBe("14:03:27");
    expect(f.brief("en", at, Date.parse(at) + 86_400_000, zone)).toBe("3 May 14:03");
    // Today is a day of the zone, not 24 hours.
    expect(f.brief("en", "2026-05-03T15:59:59Z", Date.parse("2026-05-03T16:00:01Z"), zone)).toBe("3 May 23:59");
  });
  it("name their zone", () => {
    expect(f.zoneName("en", Date.parse(at), zone)).toBe("GMT+8");
  });
});

describe("span", () => {
  it.each([
    [-5000, "0 s"], [0, "0 s"], [999, "0 s"], [1000, "1 s"], [59_999, "59 s"], [60_000, "1 min"], [61_000, "1 min"], [3_599_000, "59 min"],
    [3_600_000, "1 h"], [4_800_000, "1 h 20 min"], [36_000_000, "10 h"], [90_000_000, "1 d 1 h"], [864_000_000, "10 d"],
  ])("%d ms is %s", (ms, text) => {
    expect(f.span("en", ms).replaceAll("\u00a0", " ")).toBe(text);
  });
  it("keeps each number and its unit together, and has no unit that is a length's", () => {
    for (const ms of [4000, 60_000, 4_800_000, 90_000_000]) {
      expect(f.span("en", ms)).not.toMatch(/\d (?!\d)|\dm\b|\u00a0m\b/);
    }
    expect(f.span("en", 4_800_000, "long")).toBe("1 hour 20 minutes");
  });
  it("is written as Chinese does", () => {
    expect(f.span("zh-CN", 4_800_000)).toBe("1小时20分钟");
    expect(f.span("zh-CN", 12_000, "long")).toBe("12秒");
  });
});

describe("figures", () => {
  it("have units and no false precision", () => {
    expect(f.distance("en", 23.4)).toBe("23 m");
    expect(f.distance("en", 1440)).toBe("1.4 km");
    expect(f.distance("zh-CN", 12_400)).toBe("12公里");
    expect(f.bytes("en", 412)).toBe("412 byte");
    expect(f.bytes("en", 1_234_000)).toBe("1.2 MB");
    expect(f.position(-31.2304, 121.4737)).toBe("31.23040° S, 121.47370° E");
  });
});

describe("measured values", () => {
  it.each([
    [-17.113, "°C", "-17.1\u00a0°C"], [3.05, "m", "3.05\u00a0m"], [1013, "hPa", "1013\u00a0hPa"], [1013.25, "hPa", "1013\u00a0hPa"], [0.034, "mm", "0.034\u00a0mm"],
    [3.2004, "m", "3.2\u00a0m"], [12, "1", "12"], [12.345, "", "12.3"], [0, "m", "0\u00a0m"], [-0.0001, "°C", "0\u00a0°C"], [0.02, "°C", "0\u00a0°C"],
    [0.000123456, "mm", "0.000123\u00a0mm"], [0.12345, "V", "0.123\u00a0V"], [99.96, "%", "100\u00a0%"], [123456.7, "m³", "123,457\u00a0m³"], [-0.5, "m", "-0.5\u00a0m"],
  ])("%d %s is %s", (value, unit, text) => expect(f.quantity("en", value, unit)).toBe(text));
  it("do not look the same as what they are told apart from", () => {
    expect(f.quantity("en", 3.204, "m", 3.2)).toBe("3.204\u00a0m");
    expect(f.quantity("en", 3.4006, "m", 3.2)).toBe("3.4\u00a0m");
    expect(f.quantity("en", -14.98, "°C", -15)).toBe("-14.98\u00a0°C");
    expect(f.quantity("en", 3.2, "m", 3.2)).toBe("3.2\u00a0m");
  });
  it("are as they were set where a person set them", () => {
    expect(f.setting("en", 1013.25, "hPa")).toBe("1013.25\u00a0hPa");
    expect(f.setting("zh-CN", -15, "°C")).toBe("-15\u00a0°C");
  });
  it("have as many digits at an axis as tell its marks apart", () => {
    expect(f.marks("en", [0, 0.5, 1], "m")).toEqual(["0.0\u00a0m", "0.5\u00a0m", "1.0\u00a0m"]);
    expect(f.marks("en", [1012.25, 1012.5], "hPa")).toEqual(["1012.25\u00a0hPa", "1012.50\u00a0hPa"]);
    expect(f.marks("en", [-20, -10, 0], "°C")).toEqual(["-20\u00a0°C", "-10\u00a0°C", "0\u00a0°C"]);
    expect(f.marks("en", [0.30000000000000004, 0.2])).toEqual(["0.3", "0.2"]);
  });
});
