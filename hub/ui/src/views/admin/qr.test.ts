import { describe, expect, it } from "vitest";
import { modulesOf, pathOf } from "./qr";

describe("qr", () => {
  it("makes codes with their three corners", () => {
    const m = modulesOf("x".repeat(230))!;
    const n = m.length;
    expect(n).toBeGreaterThan(40);
    for (const [y, x] of [[0, 0], [0, n - 7], [n - 7, 0]] as const) {
      expect(m[y]!.slice(x, x + 7)).toEqual(Array(7).fill(true));
      expect(m[y + 1]!.slice(x, x + 7)).toEqual([true, false, false, false, false, false, true]);
    }
  });
  it("refuses what fits no code", () => {
    expect(modulesOf("x".repeat(4000))).toBeNull();
  });
  it("draws runs", () => {
    expect(pathOf([[true, true, false, true], [false, false, false, false]], 4)).toBe("M4 4h2v1h-2zM7 4h1v1h-1z");
  });
});
