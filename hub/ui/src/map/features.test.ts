import { describe, expect, test } from "vitest";
import { type Device, type Incident, deviceKey } from "../api/types";
import { type Features, Places, difference, remake, sectorFeatures, symbolOf, weight } from "./features";

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

/** A map's things, and what a list of them changes. */
function standing() {
  const devices = new Places<Device>(deviceKey);
  const incidents = new Places<Incident>((i) => i.id, weight);
  const made: Features = new Map();
  return {
    devices: (list: Device[]) => remake(made, devices.update(list), devices, incidents),
    incidents: (list: Incident[]) => remake(made, incidents.update(list), devices, incidents),
    leading: (key: string) => incidents.at(key).map((i) => i.id),
    get properties() { return [...made.values()].map((m) => m.feature.properties); },
  };
}
const at = (n: number) => ({ place: { lat: 30 + n, lon: 120 } });

describe("places", () => {
  test("incidents at one place are one feature, led by the one that matters most", () => {
    const s = standing();
    s.incidents([incident("a"), incident("b", { severity: "severe" }), incident("c", { place: null }), incident("d", { place: { lat: 31, lon: 121 } })]);
    expect(s.leading("30.920000,120.930000")).toEqual(["b", "a"]);
    expect(s.properties).toMatchObject([
      { key: "30.920000,120.930000", weight: 13, count: 2, devices: 0 },
      { key: "31.000000,121.000000", weight: 11, count: 1, devices: 0 },
    ]);
  });

  test("closed ones are not counted beside open ones", () => {
    const s = standing();
    s.incidents([incident("a"), incident("b", { state: "closed" })]);
    expect(s.properties).toMatchObject([{ count: 1 }]);
  });

  test("an incident stands with the device at its place", () => {
    const s = standing();
    s.devices([device("a")]);
    s.incidents([incident("i")]);
    expect(s.properties).toMatchObject([{ devices: 1, code: 1, name: "a", weight: 11, count: 1 }]);
  });

  test("several devices at one place are counted and named", () => {
    const s = standing();
    s.devices([device("a"), device("b", { state: "offline" })]);
    expect(s.properties).toMatchObject([{ devices: 2, code: 0, bad: 1, name: "a\nb", weight: -1 }]);
  });
});

describe("what has changed", () => {
  test("nothing when nothing that is drawn has", () => {
    const s = standing();
    s.devices([device("a"), device("b", at(2))]);
    expect(s.devices([device("a", { since: "2026-01-01T00:00:00Z" }), device("b", at(2))])).toBeNull();
  });

  test("what has come, gone, moved and become another", () => {
    const s = standing();
    s.devices([device("a", at(1)), device("b", at(2)), device("c", at(3)), device("m", at(5))]);
    const change = s.devices([device("a", at(1)), device("b", { ...at(2), state: "offline" }), device("d", at(4)), device("e", { place: null }), device("m", at(6))]);
    expect(change?.remove?.sort()).toEqual(["32.000000,120.000000", "33.000000,120.000000", "35.000000,120.000000"]);
    expect(change?.add?.map((f) => f.properties?.["name"]).sort()).toEqual(["b", "d", "m"]);
  });

  test("one incident that arrives among many touches one place", () => {
    const s = standing();
    s.devices(Array.from({ length: 2000 }, (_, n) => device(`d${n}`, at(n / 100))));
    const told = Array.from({ length: 500 }, (_, n) => incident(`i${n}`, at(n / 100)));
    s.incidents(told);
    const change = s.incidents([incident("new", at(3)), ...told]);
    expect([change?.add?.length, change?.remove?.length]).toEqual([1, 1]);
    expect(s.incidents(told)?.add?.map((f) => f.properties?.["count"])).toEqual([1]);
  });

  test("of fields of view, too", () => {
    const list = [device("a"), device("b")];
    const before = sectorFeatures(list, new Map());
    expect(difference(before, sectorFeatures([device("a"), list[1]!], before))).toBeNull();
    const change = difference(before, sectorFeatures([list[0]!, device("b", { state: "offline" })], before));
    expect([change?.add?.length, change?.remove]).toEqual([1, ["e/b"]]);
  });
});

test("only cameras whose view is known have a sector", () => {
  const list = [device("a"), device("b", { kind: "sensor" }), device("c", { place: { lat: 1, lon: 2 } })];
  expect([...sectorFeatures(list, new Map()).keys()]).toEqual(["e/a"]);
});
