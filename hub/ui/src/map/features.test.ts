import { describe, expect, test } from "vitest";
import type { Device, Incident } from "../api/types";
import { byPlace, difference, placeFeatures, sectorFeatures, symbolOf, weight, type Features } from "./features";

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

const features = (devices: Device[], incidents: Incident[] = [], before: Features = new Map()) =>
  placeFeatures(byPlace(devices), byPlace(incidents, weight), before);
const at = (n: number) => ({ place: { lat: 30 + n, lon: 120 } });

describe("places", () => {
  test("incidents at one place are one feature, led by the one that matters most", () => {
    const list = [incident("a"), incident("b", { severity: "severe" }), incident("c", { place: null }), incident("d", { place: { lat: 31, lon: 121 } })];
    expect(byPlace(list, weight).get("30.920000,120.930000")!.map((i) => i.id)).toEqual(["b", "a"]);
    const made = [...features([], list).values()].map((m) => m.feature.properties);
    expect(made).toMatchObject([
      { key: "30.920000,120.930000", weight: 13, count: 2, devices: 0 },
      { key: "31.000000,121.000000", weight: 11, count: 1, devices: 0 },
    ]);
  });

  test("closed ones are not counted beside open ones", () => {
    const [made] = features([], [incident("a"), incident("b", { state: "closed" })]).values();
    expect(made?.feature.properties?.["count"]).toBe(1);
  });

  test("an incident stands with the device at its place", () => {
    const made = [...features([device("a")], [incident("i")]).values()];
    expect(made.map((m) => m.feature.properties)).toMatchObject([{ devices: 1, code: 1, name: "a", weight: 11, count: 1 }]);
  });

  test("several devices at one place are counted and named", () => {
    const [made] = features([device("a"), device("b", { state: "offline" })]).values();
    expect(made?.feature.properties).toMatchObject({ devices: 2, code: 0, bad: 1, name: "a\nb", weight: -1 });
  });
});

describe("difference", () => {
  test("nothing when nothing that is drawn has changed", () => {
    const before = features([device("a"), device("b", at(2))]);
    const after = features([device("a", { since: "2026-01-01T00:00:00Z" }), device("b", at(2))], [], before);
    expect(difference(before, after)).toBeNull();
  });

  test("tells only what has changed, come and gone", () => {
    const before = features([device("a", at(1)), device("b", at(2)), device("c", at(3))]);
    const after = features([device("a", at(1)), device("b", { ...at(2), state: "offline" }), device("d", at(4)), device("e", { place: null })], [], before);
    const change = difference(before, after);
    expect(change?.remove).toEqual(["32.000000,120.000000", "33.000000,120.000000"]);
    expect(change?.add?.map((f) => f.properties?.["name"])).toEqual(["b", "d"]);
  });

  test("one incident that arrives among many changes one feature", () => {
    const devices = Array.from({ length: 2000 }, (_, n) => device(`d${n}`, at(n / 100)));
    const told = Array.from({ length: 500 }, (_, n) => incident(`i${n}`, at(n / 100)));
    const before = features(devices, told);
    const change = difference(before, features(devices, [incident("new", at(3)), ...told], before));
    expect([change?.add?.length, change?.remove?.length]).toEqual([1, 1]);
  });
});

test("only cameras whose view is known have a sector", () => {
  const list = [device("a"), device("b", { kind: "sensor" }), device("c", { place: { lat: 1, lon: 2 } })];
  expect([...sectorFeatures(list, new Map()).keys()]).toEqual(["e/a"]);
});
