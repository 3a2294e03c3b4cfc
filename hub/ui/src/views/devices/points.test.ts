import { describe, expect, it } from "vitest";
import { pointsOf, summary } from "./points";

const series = (at: number[], values: number[]) => ({ edge: "e", device: "d", unit: "m", at, mean: values, low: values.map((v) => v - 1), high: values.map((v) => v + 1) });

describe("pointsOf", () => {
  it("leaves a gap where nothing was heard", () => {
    const p = pointsOf(series([1000, 2000, 3000, 60_000], [1, 2, 3, 4]), 1000);
    expect(p[0]).toEqual([1, 2, 3, 3.001, 60]);
    expect(p[3]).toEqual([1, 2, 3, null, 4]);
  });
  it("takes a slow sensor's pauses for what they are", () => {
    const p = pointsOf(series([0, 60_000, 120_000, 185_000], [1, 2, 3, 4]), 1000);
    expect(p[3]).toEqual([1, 2, 3, 4]);
  });
  it("adds the newest value unless it is bad or known", () => {
    const at = (ms: number, quality: "good" | "bad") => ({ time: new Date(ms).toISOString(), value: 9, unit: "m", quality });
    expect(pointsOf(series([1000, 2000], [1, 2]), 1000, at(3000, "good"))[3]).toEqual([1, 2, 9]);
    expect(pointsOf(series([1000, 2000], [1, 2]), 1000, at(3000, "bad"))[3]).toEqual([1, 2]);
    expect(pointsOf(series([1000, 2000], [1, 2]), 1000, at(2000, "good"))[3]).toEqual([1, 2]);
    expect(pointsOf(series([], []), 1000, at(2000, "good"))[3]).toEqual([9]);
    expect(pointsOf(series([], []), 1000, at(2000, "good"), 3000)[3]).toEqual([]); // of another time than is looked at
  });
  it("sums up", () => {
    expect(summary(pointsOf(series([1000, 2000, 90_000], [5, 1, 3]), 1000))).toEqual({ low: 0, high: 6, last: 3, at: 90_000 });
    expect(summary([[], [], [], []])).toBeNull();
  });
});
