import { expect, test } from "vitest";
import { drawnRows, pick } from "./list";

const thing = (name: string, lat: number | null) => ({ name, place: lat === null ? null : { lat, lon: 120 } });
const name = (t: { name: string }) => t.name;

test("what is in sight, and nothing without a place", () => {
  const found = pick([thing("a", 30), thing("b", 50), thing("c", null)], [119, 29, 121, 31], "", name);
  expect(found).toEqual([thing("a", 30)]);
});

test("what was typed is found wherever it stands, by all its words", () => {
  const list = [thing("River gauge", 30), thing("river camera", 50), thing("gate", 30)];
  expect(pick(list, [119, 29, 121, 31], "RIVER", name).length).toBe(2);
  expect(pick(list, null, "cam riv", name).map(name)).toEqual(["river camera"]);
});

test("only what is seen is drawn, and a little around it", () => {
  expect(drawnRows(10_000, 0, 520, 52)).toEqual([0, 16]);
  expect(drawnRows(10_000, 5200, 520, 52)).toEqual([94, 116]);
  expect(drawnRows(3, 0, 520, 52)).toEqual([0, 3]);
  expect(drawnRows(0, 900, 520, 52)).toEqual([0, 0]);
});
