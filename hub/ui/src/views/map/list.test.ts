import { expect, test } from "vitest";
import { pick } from "./list";

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
