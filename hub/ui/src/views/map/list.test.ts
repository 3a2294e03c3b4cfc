import { expect, test } from "vitest";
import { most, pick } from "./list";

const thing = (name: string, lat: number | null) => ({ name, place: lat === null ? null : { lat, lon: 120 } });
const name = (t: { name: string }) => t.name;

test("what is in sight, and nothing without a place", () => {
  const found = pick([thing("a", 30), thing("b", 50), thing("c", null)], [119, 29, 121, 31], "", name);
  expect(found).toEqual({ shown: [thing("a", 30)], all: 1 });
});

test("what was typed is found wherever it stands, by all its words", () => {
  const list = [thing("River gauge", 30), thing("river camera", 50), thing("gate", 30)];
  expect(pick(list, [119, 29, 121, 31], "RIVER", name).all).toBe(2);
  expect(pick(list, null, "cam riv", name).shown.map(name)).toEqual(["river camera"]);
});

test("no more than can be read, but all are counted", () => {
  const found = pick(Array.from({ length: most + 50 }, (_, i) => thing(String(i), 30)), null, "", name);
  expect(found.shown.length).toBe(most);
  expect(found.all).toBe(most + 50);
});
