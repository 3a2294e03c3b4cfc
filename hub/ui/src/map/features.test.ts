import { describe, expect, test } from "vitest";
import type { Device, Incident } from "../api/types";
import { deviceFeatures, difference, sectorFeatures, spotFeatures, spotsOf, symbolOf, weight } from "./features";

const incident = (id: string, o: Partial<Incident> = {}): Incident =>
  ({ id, severity: "minor", state: "open", place: { lat: 30.92, lon: 120.93 }, ...o }) as Incident;
const device = (name: string, o: Partial<Device> = {}): Device =>
  ({ edge: "e", name, kind: "camera", state: "online", place: { lat: 30.92, lon: 120.93, heading: 45, fov: 90, range: 80 }, ...o }) as Device;

describe("weight", () => {
  test("open before acknowledged before closed, and by severity among them", () => {
    const list = [
      incident("a", { state: "closed", severity: "extreme" }), incident("b", { state: "acknowledged", severity: "extreme" }),
      incident("c", { severity: "minor" }), incident("d", { severity: "severe" }),
    ];
    expect(list.map(weight)).toEqual([0, 4, 11, 13]);
    expect(list.map((i) => symbolOf(weight(i)))).toEqual(["incident-closed", "incident-extreme-taken", "incident-minor", "incident-severe"]);
  });
});

describe("spots", () => {
  test("incidents at one place are one spot, led by the one that matters most", () => {
    const spots = spotsOf([incident("a"), incident("b", { severity: "severe" }), incident("c", { place: null }), incident("d", { place: { lat: 31, lon: 121 } })]);
    expect(spots.size).toBe(2);
    const made = [...spotFeatures(spots, new Map()).values()].map((m) => m.feature.properties);
    expect(made).toEqual([
      { key: "30.920000,120.930000", id: "b", weight: 13, count: 2 },
      { key: "31.000000,121.000000", id: "d", weight: 11, count: 1 },
    ]);
  });

  test("closed ones are not counted beside open ones", () => {
    const [made] = spotFeatures(spotsOf([incident("a"), incident("b", { state: "closed" })]), new Map()).values();
    expect(made?.feature.properties?.["count"]).toBe(1);
  });
});

describe("difference", () => {
  test("nothing when nothing that is drawn has changed", () => {
    const before = deviceFeatures([device("a"), device("b")], new Map());
    const after = deviceFeatures([device("a", { since: "2026-01-01T00:00:00Z" }), device("b")], before);
    expect(difference(before, after)).toBeNull();
  });

  test("tells only what has changed, come and gone", () => {
    const before = deviceFeatures([device("a"), device("b"), device("c")], new Map());
    const after = deviceFeatures([device("a"), device("b", { state: "offline" }), device("d"), device("e", { place: null })], before);
    const change = difference(before, after);
    expect(change?.remove).toEqual(["e/b", "e/c"]);
    expect(change?.add?.map((f) => f.properties?.["key"])).toEqual(["e/b", "e/d"]);
  });
});

test("only cameras whose view is known have a sector", () => {
  const list = [device("a"), device("b", { kind: "sensor" }), device("c", { place: { lat: 1, lon: 2 } })];
  expect([...sectorFeatures(list, new Map()).keys()]).toEqual(["e/a"]);
});
