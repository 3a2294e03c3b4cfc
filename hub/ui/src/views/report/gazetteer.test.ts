import type { Feature } from "geojson";
import { describe, expect, it } from "vitest";
import { fromDevices, fromFeatures, nearest, position, search } from "./gazetteer";

const street = (zh: string, en: string, coordinates: number[][]): Feature => ({
  type: "Feature", properties: { kind: "street", name: zh, "name:zh": zh, "name:en": en }, geometry: { type: "LineString", coordinates },
});
const features: Feature[] = [
  street("环镇南路", "South Ring Road", [[120.92, 30.92], [120.93, 30.92]]),
  street("环镇南路", "South Ring Road", [[120.93, 30.92], [120.94, 30.92]]),
  street("书院路", "Academy Road", [[120.93, 30.91], [120.93, 30.93]]),
  { type: "Feature", properties: { kind: "park", name: "柳园", "name:en": "Willow Park" }, geometry: { type: "Polygon", coordinates: [[[120.91, 30.9], [120.912, 30.9], [120.912, 30.902], [120.91, 30.902], [120.91, 30.9]]] } },
  { type: "Feature", properties: { kind: "building" }, geometry: { type: "Point", coordinates: [0, 0] } },
];
const devices = fromDevices([{ edge: "demo", name: "ring-gauge", kind: "sensor", state: "online", cause: "", since: null, rules: [], place: { lat: 30.95, lon: 120.95 } }]);

describe("gazetteer", () => {
  const all = [...fromFeatures(features, "en"), ...devices];
  it("knows each street once", () => {
    expect(all.map((n) => n.names[0])).toEqual(["South Ring Road", "Academy Road", "Willow Park", "ring gauge"]);
  });
  it("finds by either language, streets first", () => {
    expect(search(all, "环镇").map((n) => n.names[0])).toEqual(["South Ring Road"]);
    expect(search(all, "road ac").map((n) => n.names[0])).toEqual(["Academy Road"]);
    expect(search(all, "ring").map((n) => n.names[0])).toEqual(["ring gauge", "South Ring Road"]);
    expect(search(all, "  ")).toEqual([]);
  });
  it("names a place by what is nearest", () => {
    expect(nearest(all, { lat: 30.92001, lon: 120.935 })?.name).toBe("South Ring Road");
    expect(nearest(all, { lat: 30.901, lon: 120.911 })).toEqual({ name: "Willow Park", distance: expect.closeTo(0, 1) });
    expect(nearest(all, { lat: 31.5, lon: 121.5 })).toBeNull();
  });
  it("reads positions", () => {
    expect(position("30.92010, 120.93020")).toEqual({ lat: 30.9201, lon: 120.9302 });
    expect(position("30.92010° N, 120.93020° E")).toEqual({ lat: 30.9201, lon: 120.9302 });
    expect(position("-33.9 18.4")).toEqual({ lat: -33.9, lon: 18.4 });
    expect(position("12 34 road")).toBeNull();
    expect(position("99, 18")).toBeNull();
  });
});
