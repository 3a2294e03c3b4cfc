import { describe, expect, it } from "vitest";
import { bestLayout, besideCaption } from "./layout";

const [old, wide, tall] = [4 / 3, 16 / 9, 9 / 16];
const layout = (aspects: number[], width: number, height: number) => {
  const l = bestLayout(aspects, { width, height }, 8);
  return `${l.columns}x${l.rows}${l.tall ? " tall" : ""}`;
};

describe("tiles", () => {
  // The place of live video on the incident page at 1280, 1366 and 1920, and that of the wall at 1280.
  it.each([[684, 338], [735, 380], [1068, 850], [1208, 616]])("of four cameras stand two by two in %dx%d", (w, h) => {
    for (const aspect of [old, wide]) expect(layout(Array<number>(4).fill(aspect), w, h)).toBe("2x2");
  });
  it.each([
    [[old, old], 684, 338, "2x1"], [[wide, wide], 700, 800, "1x2"], // two of 16:9 above each other where it is high
    [[old, old, old], 684, 338, "2x2 tall"], [[wide, wide, wide], 500, 1000, "1x3"], [[wide, wide, wide], 1700, 360, "3x1"],
    [[tall, tall, tall, tall], 684, 338, "4x1"], [[wide, wide, wide, wide], 400, 900, "1x4"],
    [Array<number>(9).fill(wide), 1208, 616, "3x3"], [[old], 684, 338, "1x1"],
  ] as const)("of %j in %dx%d stand %s", (aspects, w, h, want) => expect(layout([...aspects], w, h)).toBe(want));
  it("stand as usual before anything is known", () => {
    expect(layout([0, 0, 0, 0], 0, 0)).toBe("2x2");
    expect(layout([0, 0, 0], 684, 338)).toBe("2x2 tall");
  });
  it("without a picture take no room from those that have one", () => expect(layout([wide, 0, 0, 0], 400, 900)).toBe("1x4"));
});

describe("a caption", () => {
  it("stands beside a picture that is narrower than its tile, which the picture then fills from top to bottom", () => {
    expect(besideCaption(old, { width: 338, height: 165 })).toBe(218); // at 1280: it was 175
    expect(besideCaption(old, { width: 362, height: 184 })).toBe(242);
    expect(besideCaption(old, { width: 574, height: 294 })).toBe(392);
    expect(besideCaption(tall, { width: 338, height: 165 })).toBe(92);
  });
  it("stands below one that is as wide as the tile", () => {
    expect(besideCaption(wide, { width: 338, height: 165 })).toBe(0);
    expect(besideCaption(old, { width: 512, height: 420 })).toBe(0);
    expect(besideCaption(old, { width: 0, height: 0 })).toBe(0);
  });
});
