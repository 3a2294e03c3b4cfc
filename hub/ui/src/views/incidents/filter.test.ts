import { describe, expect, test } from "vitest";
import { worstFirst } from "../../state/incidents.svelte";
import { applyFilter, exportQuery, type Filter, hubQuery, isNarrow, matchesClosed, mine, noFilter, noSite, order, parseFilter, period, toQuery } from "./filter";
import { make } from "../../../tests/fixtures/incident";

const now = Date.parse("2026-05-03T12:00:00Z");
const words = (i: { title: string }) => i.title.toLowerCase();

describe("the filter in the address", () => {
  test("what is not set stands there not at all", () => {
    expect(parseFilter(new URLSearchParams(""))).toEqual(noFilter);
    expect(Object.values(toQuery(noFilter)).every((v) => v === null)).toBe(true);
  });
  test("comes back as it was", () => {
    const f = {
      state: "all", severity: ["minor", "extreme"], kind: "zone", site: "yard", device: "gate", since: "range", from: "2026-05-03T20:00", to: "2026-05-04T08:00",
      assignee: mine, outcome: "false_alarm", q: "gate north", sort: "device", asc: true, apart: true,
    } as const;
    const q = new URLSearchParams();
    for (const [k, v] of Object.entries(toQuery({ ...f, severity: [...f.severity] }))) if (v !== null) q.set(k, v);
    expect(parseFilter(q)).toEqual(f);
  });
  test("what makes no sense is left out", () => {
    expect(parseFilter(new URLSearchParams("state=lost&severity=bad,severe&since=toString&other=1&from=2026-05-03T20:00&device=x&outcome=lost&sort=title"))).toEqual({ ...noFilter, severity: ["severe"] });
    expect(parseFilter(new URLSearchParams("since=range&from=yesterday&to=2026-05-03T20:00"))).toEqual({ ...noFilter, since: "range", to: "2026-05-03T20:00" });
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

describe("times", () => {
  const local = (text: string) => new Date(text).getTime();
  const at = local("2026-05-03T12:34");
  const of = (f: Partial<Filter>) => period({ ...noFilter, ...f }, at);
  test("are days of the reader's zone", () => {
    expect(of({})).toEqual({ from: -Infinity, to: Infinity });
    expect(of({ since: "8h" })).toEqual({ from: at - 28_800_000, to: Infinity });
    expect(of({ since: "today" })).toEqual({ from: local("2026-05-03T00:00"), to: Infinity });
    expect(of({ since: "yesterday" })).toEqual({ from: local("2026-05-02T00:00"), to: local("2026-05-03T00:00") });
    expect(of({ since: "night" })).toEqual({ from: local("2026-05-02T20:00"), to: local("2026-05-03T08:00") });
  });
  test("a range may be open at an end", () => {
    expect(of({ since: "range", from: "2026-05-01T10:00" })).toEqual({ from: local("2026-05-01T10:00"), to: Infinity });
    expect(of({ since: "range", to: "2026-05-01T10:00" })).toEqual({ from: -Infinity, to: local("2026-05-01T10:00") });
  });
  test("are those of the hub, not of an edge with a wrong clock", () => {
    const wrong = make({ opened_at: "2020-01-01T00:00:00Z", occurred_at: "2026-05-03T11:59:00Z" });
    expect(applyFilter([wrong], { ...noFilter, since: "1h" }, now, words).rows).toEqual([wrong]);
  });
});

describe("what the hub is asked for", () => {
  const ask = (f: Partial<Filter>) => hubQuery({ ...noFilter, ...f }, now, "li");
  test("is the same filter", () => {
    expect(ask({ severity: ["minor", "severe"], site: "yard", device: "gate", assignee: mine, outcome: "other", q: " smoke ", sort: "severity" })).toEqual({
      severity: "minor,severe", kind: "", edge: "yard", device: "gate", since: undefined, until: undefined, assignee: "li", outcome: "other", q: "smoke", sort: "severity", order: undefined,
    });
    expect(ask({ site: noSite })).toMatchObject({ source: "report" });
    expect(ask({ since: "1h" })).toMatchObject({ since: new Date(now - 3_600_000), until: undefined });
  });
  test("is no order that it refuses", () => {
    expect(ask({ q: "x", sort: "device", asc: true }).sort).toBeUndefined();
    expect(ask({ sort: "occurred", asc: true })).toMatchObject({ sort: undefined, order: "asc" });
  });
  test("for a file has the state and the reader's zone", () => {
    expect(exportQuery({ ...noFilter, state: "closed" }, now, "li")).toMatchObject({ state: "closed", tz: expect.stringMatching(/./) });
    expect(exportQuery({ ...noFilter, state: "all" }, now, "li")["state"]).toBeUndefined();
  });
  test("agrees with what the console tells of an incident that has just been closed", () => {
    const i = make({ state: "closed", assignee: "li", outcome: "other", severity: "minor" });
    const matches = (f: Partial<Filter>) => matchesClosed({ ...noFilter, ...f }, now, words, "li")(i);
    expect(matches({})).toBe(true);
    expect(matches({ assignee: mine, outcome: "other", severity: ["minor"], site: "yard", device: "gate", q: "yard" })).toBe(true);
    for (const f of [{ assignee: "wang" }, { outcome: "false_alarm" }, { severity: ["severe"] }, { site: "river" }, { device: "door" }, { kind: "line" }, { q: "smoke" }] as Partial<Filter>[]) {
      expect(matches(f), JSON.stringify(f)).toBe(false);
    }
  });
});

describe("the order by a column", () => {
  const all = [
    make({ id: "a", severity: "minor", state: "acknowledged", edge: "b", opened_at: "2026-05-03T10:00:00Z" }),
    make({ id: "b", severity: "extreme", state: "open", edge: "a", opened_at: "2026-05-03T09:00:00Z" }),
    make({ id: "c", severity: "minor", state: "open", edge: "a", opened_at: "2026-05-03T11:00:00Z" }),
  ];
  test.each([
    ["severity", false, "bca"], ["severity", true, "cab"], ["state", true, "cba"], ["state", false, "acb"],
    ["device", true, "cba"], ["device", false, "acb"], ["occurred", false, "cab"], ["occurred", true, "bac"],
  ] as const)("%s, rising %s", (sort, asc, want) => {
    expect(all.toSorted(order({ sort, asc })!).map((i) => i.id).join("")).toBe(want);
  });
  test("is the list's own unless one is chosen", () => expect(order(noFilter)).toBeNull());
});
