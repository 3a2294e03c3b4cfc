import { describe, expect, test } from "vitest";
import { worstFirst } from "../../state/incidents.svelte";
import { applyFilter, isNarrow, noFilter, noSite, parseFilter, toQuery } from "./filter";
import { make } from "../../../tests/fixtures/incident";

const now = Date.parse("2026-05-03T12:00:00Z");
const words = (i: { title: string }) => i.title.toLowerCase();

describe("the filter in the address", () => {
  test("what is not set stands there not at all", () => {
    expect(parseFilter(new URLSearchParams(""))).toEqual(noFilter);
    expect(Object.values(toQuery(noFilter)).every((v) => v === null)).toBe(true);
  });
  test("comes back as it was", () => {
    const f = { state: "all", severity: ["minor", "extreme"], kind: "zone", site: "yard", since: "8h", q: "gate north", apart: true } as const;
    const q = new URLSearchParams();
    for (const [k, v] of Object.entries(toQuery({ ...f, severity: [...f.severity] }))) if (v !== null) q.set(k, v);
    expect(parseFilter(q)).toEqual(f);
  });
  test("what makes no sense is left out", () => {
    expect(parseFilter(new URLSearchParams("state=lost&severity=bad,severe&since=toString&other=1"))).toEqual({ ...noFilter, severity: ["severe"] });
  });
  test("the state alone narrows nothing", () => {
    expect(isNarrow({ ...noFilter, state: "closed" })).toBe(false);
    expect(isNarrow({ ...noFilter, q: " " })).toBe(false);
    expect(isNarrow({ ...noFilter, q: "x" })).toBe(true);
  });
});

describe("filtering", () => {
  const all = [
    make({ id: "a", severity: "extreme", kind: "zone", edge: "yard", title: "Motion in the yard" }),
    make({ id: "b", severity: "minor", kind: "above", edge: "river", title: "River above 3 m", state: "acknowledged" }),
    make({ id: "c", severity: "minor", kind: "zone", edge: "yard", title: "Motion in the lane", state: "closed" }),
    make({ id: "d", severity: "severe", kind: "report", edge: "", title: "Smoke seen", opened_at: "2026-05-01T12:00:00Z" }),
  ].sort(worstFirst);
  const ids = (f: Partial<typeof noFilter>) => applyFilter(all, { ...noFilter, ...f }, now, words).rows.map((i) => i.id);

  test("without any: what is not closed, worst first", () => expect(ids({})).toEqual(["a", "d", "b"]));
  test("by state", () => {
    expect(ids({ state: "closed" })).toEqual(["c"]);
    expect(ids({ state: "acknowledged" })).toEqual(["b"]);
    expect(ids({ state: "all" })).toEqual(["a", "d", "b", "c"]);
  });
  test("by severity, kind, site, time and words", () => {
    expect(ids({ severity: ["minor", "severe"] })).toEqual(["d", "b"]);
    expect(ids({ kind: "zone" })).toEqual(["a"]);
    expect(ids({ site: "river" })).toEqual(["b"]);
    expect(ids({ site: noSite })).toEqual(["d"]);
    expect(ids({ since: "24h" })).toEqual(["a", "b"]);
    expect(ids({ q: "YARD  motion" })).toEqual(["a"]);
  });
  test("each count says what its choice would show", () => {
    const { counts } = applyFilter(all, { ...noFilter, kind: "zone" }, now, words);
    expect(counts.state).toEqual({ unclosed: 1, open: 1, acknowledged: 0, closed: 1, all: 2 });
    expect(counts.severity).toEqual({ minor: 0, moderate: 0, severe: 0, extreme: 1 });
    expect([...counts.kind]).toEqual([["zone", 1], ["report", 1], ["above", 1]]);
    expect([...counts.site]).toEqual([["yard", 1]]);
  });
});
