import { describe, expect, it, test } from "vitest";
import { drawnLines, evenRows, lineAt, offsets } from "./virtual";

describe("lines of several heights", () => {
  it("are found at a height", () => {
    const at = offsets(8, (n) => (n % 3 ? 56 : 40));
    expect(at[8]).toBe(3 * 40 + 5 * 56);
    expect([0, 39, 40, 95, 96, 9999].map((y) => lineAt(at, y))).toEqual([0, 0, 1, 1, 2, 7]);
    expect(lineAt(offsets(0, () => 40), 10)).toBe(0);
  });
  it("are found where a search one by one finds them", () => {
    for (let round = 0; round < 50; round += 1) {
      const heights = Array.from({ length: 1 + ((round * 7) % 40) }, (_, n) => 20 + ((n * 31 + round * 17) % 60));
      const at = offsets(heights.length, (n) => heights[n]!);
      for (let y = 0; y < at.at(-1)!; y += 13) {
        const n = lineAt(at, y);
        expect(at[n]! <= y && y < at[n + 1]!).toBe(true);
      }
    }
  });
});

test("only rows that are seen are drawn, and a little around them", () => {
  expect(evenRows(10_000, 0, 520, 52)).toEqual([0, 16]);
  expect(evenRows(10_000, 5200, 520, 52)).toEqual([94, 116]);
  expect(evenRows(3, 0, 520, 52)).toEqual([0, 3]);
  expect(evenRows(0, 900, 520, 52)).toEqual([0, 0]);
});

test("what is kept is drawn too, once and in its place", () => {
  expect(drawnLines(100, 10, 13, [-1, 2, 11, 99, 100])).toEqual([2, 10, 11, 12, 99]);
  expect(drawnLines(5, -3, 9, [])).toEqual([0, 1, 2, 3, 4]);
  expect(drawnLines(0, 0, 6, [0])).toEqual([]);
});
