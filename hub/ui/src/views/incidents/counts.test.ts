import { describe, expect, test } from "vitest";
import { make } from "../../../tests/fixtures/incident";
import type { Total } from "../../state/closed.svelte";
import { shownCounts } from "./counts";
import { applyFilter, type Filter, noFilter } from "./filter";

const unclosed = [make({ id: "a", severity: "extreme" }), make({ id: "b", severity: "minor", state: "acknowledged" })];
const totals: Total[] = [
  { state: "open", severity: "extreme", count: 1 }, { state: "closed", severity: "minor", count: 1_000_000 }, { state: "closed", severity: "extreme", count: 20 },
];
const counts = (part: Partial<Filter>, whole: Parameters<typeof shownCounts>[3] = null, of: Total[] | null = totals) => {
  const f = { ...noFilter, ...part };
  return shownCounts(applyFilter(unclosed, f, 0, () => "").counts, f, of, whole, ["harbour"]);
};

describe("counts", () => {
  test("of closed ones are the hub's totals", () => {
    expect(counts({}).state).toEqual({ unclosed: 2, open: 1, acknowledged: 1, closed: 1_000_020, all: 1_000_022 });
    expect(counts({ severity: ["extreme"] }).state).toMatchObject({ unclosed: 1, closed: 20, all: 21 });
    expect(counts({ state: "closed" }).severity).toEqual({ minor: 1_000_000, moderate: 0, severe: 0, extreme: 20 });
    expect(counts({ state: "all" }).severity).toEqual({ minor: 1_000_001, moderate: 0, severe: 0, extreme: 21 });
  });
  test("are not said where they are not known", () => {
    expect(counts({}, null, null).state).toMatchObject({ unclosed: 2, closed: null, all: null });
    expect(counts({ state: "closed", kind: "zone" }).state).toMatchObject({ unclosed: 2, closed: null });
    expect([...counts({ state: "all" }).site]).toEqual([["~", null], ["harbour", null], ["yard", null]]);
    expect(counts({ state: "closed" }).kind.get("silence")).toBeNull();
    expect([...counts({}).site]).toEqual([["yard", 2]]);
  });
  test("of a list that is whole are those of the list", () => {
    const whole = [make({ state: "closed", severity: "minor" }), make({ state: "closed", severity: "severe" })];
    expect(counts({ state: "closed", kind: "zone" }, whole)).toMatchObject({ state: { closed: 2 }, severity: { minor: 1, severe: 1, extreme: 0 } });
    expect(counts({ state: "closed", kind: "zone", severity: ["minor"] }, whole.slice(0, 1))).toMatchObject({ state: { closed: 1 }, severity: { minor: 1, severe: null } });
  });
  test("of groups that are whole are theirs, without those of each severity", () => {
    expect(counts({ state: "closed", kind: "zone" }, 230)).toMatchObject({ state: { unclosed: 2, closed: 230, all: 232 }, severity: { minor: null } });
    expect(counts({}, 5).state.closed).toBe(1_000_020);
  });
});
