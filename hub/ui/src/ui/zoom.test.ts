import { describe, expect, it } from "vitest";
import { cropped, largest, panned, resized, whole, zoomed, type ZoomView } from "./zoom";

const size = { width: 640, height: 360 };
/** The point of the picture, in px of the frame at scale 1, that is seen at a point of the frame. */
const seen = (v: ZoomView, at: { x: number; y: number }) => ({ x: (at.x - v.x) / v.scale, y: (at.y - v.y) / v.scale });

/** A generator of numbers from 0 to 1 that is the same in each run. */
function numbers(seed: number): () => number {
  return () => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
    return seed / 0x7fffffff;
  };
}

describe("digital zoom", () => {
  it("keeps the point under the pointer, and shows nothing outside the picture", () => {
    const next = numbers(7);
    let v: ZoomView = whole;
    for (let n = 0; n < 5000; n += 1) {
      const at = { x: next() * size.width, y: next() * size.height };
      const before = v;
      if (next() < 0.6) {
        v = zoomed(v, 0.5 + next() * 1.5, at, size);
        const [was, is] = [seen(before, at), seen(v, at)];
        const edge = v.x === 0 || v.y === 0 || Math.abs(v.x - size.width * (1 - v.scale)) < 1e-6 || Math.abs(v.y - size.height * (1 - v.scale)) < 1e-6;
        if (!edge) expect(Math.abs(was.x - is.x) + Math.abs(was.y - is.y)).toBeLessThan(1e-6);
      } else v = panned(v, (next() - 0.5) * 400, (next() - 0.5) * 400, size);
      expect(v.scale).toBeGreaterThanOrEqual(1);
      expect(v.scale).toBeLessThanOrEqual(largest);
      for (const corner of [{ x: 0, y: 0 }, { x: size.width, y: size.height }]) {
        const p = seen(v, corner);
        expect(p.x).toBeGreaterThanOrEqual(-1e-6);
        expect(p.x).toBeLessThanOrEqual(size.width + 1e-6);
        expect(p.y).toBeGreaterThanOrEqual(-1e-6);
        expect(p.y).toBeLessThanOrEqual(size.height + 1e-6);
      }
    }
  });
  it("shows all of it again when it is made as small as it was", () => {
    expect(zoomed(zoomed(whole, 4, { x: 600, y: 30 }, size), 1 / 8, { x: 0, y: 0 }, size)).toEqual(whole);
  });
  it("shows the same part when the frame becomes another one", () => {
    const v = zoomed(whole, 3, { x: 320, y: 90 }, size);
    const larger = { width: 1280, height: 720 };
    expect(seen(resized(v, size, larger), { x: 0, y: 0 }).x * 2 - seen(v, { x: 0, y: 0 }).x * 4).toBeCloseTo(0);
  });
});

describe("what filling a frame cuts off", () => {
  it.each([[768, 576, 1600, 900, 0.25], [1920, 1080, 640, 360, 0], [1080, 1920, 640, 360, 0.684], [0, 0, 10, 10, 0]])("%dx%d in %dx%d: %d", (w, h, fw, fh, share) => {
    expect(cropped({ width: w, height: h }, { width: fw, height: fh })).toBeCloseTo(share, 3);
  });
});
