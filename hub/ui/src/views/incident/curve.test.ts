import { expect, test } from "vitest";
import type { Device, Reading } from "../../api/types";
import { make } from "../../../tests/fixtures/incident";
import { around, limitOf, points } from "./curve";

const minute = 60_000;
const reading = (s: number, value: number, quality = "good"): Reading => ({ device: "river", time: new Date(s * 1000).toISOString(), value, unit: "m", quality }) as Reading;

test("half an hour around what was short, as long as it lasted around what was long", () => {
  expect(around(100 * minute, 101 * minute, 1000 * minute)).toEqual({ from: 70 * minute, to: 131 * minute });
  expect(around(300 * minute, 400 * minute, 1000 * minute)).toEqual({ from: 200 * minute, to: 500 * minute });
  expect(around(300 * minute, null, 310 * minute)).toEqual({ from: 270 * minute, to: 310 * minute });
});
test("times are in order and once each, bad values are left out", () => {
  expect(points([reading(3, 30), reading(1, 10), reading(1, 11), reading(2, 99, "bad")], null, true)).toEqual([[1, 3], [11, 30]]);
});
test("the newest reading goes on with the curve only while the incident does", () => {
  const newest = { time: new Date(9000).toISOString(), value: 9, quality: "good" };
  expect(points([reading(1, 1)], newest, true)).toEqual([[1, 9], [1, 9]]);
  expect(points([reading(1, 1)], newest, false)).toEqual([[1], [1]]);
  expect(points([], newest, true)).toEqual([[], []]);
});
test("the limit is the incident's own, else the rule's", () => {
  const device = { rules: [{ name: "flood", kind: "above", severity: "severe", value: 3 }] } as Device;
  expect(limitOf(make({ rule: "flood", limit: 3.2 }), device)).toBe(3.2);
  expect(limitOf(make({ rule: "flood" }), device)).toBe(3);
  expect(limitOf(make({ rule: "flood" }), undefined)).toBeNull();
});
