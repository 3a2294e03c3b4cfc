import { expect, test } from "vitest";
import { make } from "../../../tests/fixtures/incident";
import { listed } from "./listed";

const report = make({ id: "r", source: "report", severity: "moderate", state: "acknowledged", opened_at: "2026-05-03T12:00:00Z" });

test("a new report stands below what is worse and above what has ended", () => {
  const all = [
    make({ id: "worse", severity: "extreme" }), make({ id: "ended", severity: "extreme", condition: "closed" }), make({ id: "closed", severity: "extreme", state: "closed" }),
    make({ id: "older", severity: "moderate" }),
  ];
  expect(listed(all, report)).toEqual({ row: 2, rows: 4 });
  expect(listed([...all, report], report)).toEqual({ row: 2, rows: 4 }); // the stream was quicker
});
test("repeats of one rule are one row", () => {
  const repeats = ["a", "b", "c"].map((id) => make({ id, group: "a", severity: "severe" }));
  expect(listed(repeats, report)).toEqual({ row: 2, rows: 2 });
});
test("the only one is the first", () => expect(listed([], report)).toEqual({ row: 1, rows: 1 }));
