import { describe, expect, test } from "vitest";
import { ahead, boxAround, boxOf, formatView, metresPerPixel, parseView, scaleBar, sector, viewOf, within } from "./geo";
import { formatSelection, parseSelection } from "./selection";

const here = { lat: 30.92, lon: 120.93 };

function metres(a: { lat: number; lon: number }, [lon, lat]: [number, number]): number {
  return Math.hypot((lat - a.lat) * 111_320, (lon - a.lon) * 111_320 * Math.cos((a.lat * Math.PI) / 180));
}

describe("sector", () => {
  test("begins and ends at the camera, and reaches as far as it sees", () => {
    const ring = sector({ ...here, heading: 350, fov: 90, range: 80 })!;
    expect(ring[0]).toEqual([here.lon, here.lat]);
    expect(ring.at(-1)).toEqual(ring[0]);
    for (const p of ring.slice(1, -1)) expect(metres(here, p)).toBeCloseTo(80, 1);
  });
  test("all around is a circle without the camera", () => {
    const ring = sector({ ...here, heading: 0, fov: 360, range: 50 })!;
    for (const p of ring) expect(metres(here, p)).toBeCloseTo(50, 1);
  });
  test("none where it is not known", () => {
    expect(sector(here)).toBeNull();
    expect(sector({ ...here, heading: 0, fov: 90 })).toBeNull();
    expect(sector({ ...here, heading: 30, range: 80 })).toBeNull();
  });
  test("north where the hub has left a heading of 0 out", () => {
    expect(sector({ ...here, fov: 90, range: 80 })).toEqual(sector({ ...here, heading: 0, fov: 90, range: 80 }));
  });
});

test("bearings go clockwise from north", () => {
  expect(ahead(here, 0, 100)[1]).toBeGreaterThan(here.lat);
  expect(ahead(here, 90, 100)[0]).toBeGreaterThan(here.lon);
});

test("boxes", () => {
  const box = boxAround([{ lat: 1, lon: 2 }, { lat: -1, lon: 5 }])!;
  expect(box).toEqual([2, -1, 5, 1]);
  expect(within({ lat: 0, lon: 3 }, box)).toBe(true);
  expect(within({ lat: 0, lon: 6 }, box)).toBe(false);
  expect(boxAround([])).toBeNull();
});

test("the scale is a round number that has room", () => {
  expect(scaleBar(0.5, 96)).toEqual({ metres: 20, pixels: 40 });
  expect(scaleBar(metresPerPixel(0, 0), 96).pixels).toBeLessThanOrEqual(96);
});

describe("addresses", () => {
  test("a view survives its address", () => {
    const v = { lat: 30.9203, lon: 120.9305, zoom: 17.25 };
    expect(parseView(formatView(v))).toEqual(v);
  });
  test.each([null, "", "30", "a,b,c", "30,120,17,1", "91,0,5", "30,,5"])("%s is no view", (text) => {
    expect(parseView(text)).toBeNull();
  });
  test("a selection survives its address", () => {
    for (const text of ["device/edge/river-gauge", "incident/0198-a"]) expect(formatSelection(parseSelection(text))).toBe(text);
    for (const text of [null, "", "device/edge", "device/a/b/c", "place/1", "incident/"]) expect(parseSelection(text)).toBeNull();
  });
});

describe("a view of a box", () => {
  const box: [number, number, number, number] = [120.93, 30.92, 120.931, 30.9206];
  const margins = { top: 60, side: 50, bottom: 40 };

  test("has all of it inside its margins, and fills them one way", () => {
    const v = viewOf(box, 500, 230, margins, 21);
    const seen = boxOf(v, 500, 230, margins);
    for (const [lon, lat] of [[box[0], box[1]], [box[2], box[3]]] as const) expect(within({ lon, lat }, seen.map((x, i) => x + (i < 2 ? -1e-9 : 1e-9)) as typeof box)).toBe(true);
    expect(Math.min(Math.abs(seen[1] - box[1]), Math.abs(seen[0] - box[0]))).toBeLessThan(1e-8);
  });

  test("comes no nearer than it may, also to a single place", () => {
    const v = viewOf([120.93, 30.92, 120.93, 30.92], 500, 230, margins, 17);
    expect(v.zoom).toBe(17);
    expect(v.lat).toBeGreaterThan(30.92); // there is more room below the top margin
  });
});
