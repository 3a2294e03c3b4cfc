import { describe, expect, test } from "vitest";
import type { Incident } from "../../api/types";
import { worstFirst } from "../../state/incidents.svelte";
import { groupRows } from "./group";
import { hold, nothingShown, type Shown } from "./hold";
import { make } from "../../../tests/fixtures/incident";

const minute = (n: number) => new Date(Date.UTC(2026, 4, 3, 12, n)).toISOString();
const row = (id: string, n: number, part: Partial<Incident> = {}) => make({ id, opened_at: minute(n), ...part });
const none = () => undefined;
const ids = (s: Shown) => s.rows.map((i) => i.id).join("");
const waits = (s: Shown) => s.waiting.map((i) => i.id).join("");
const sorted = (all: Incident[]) => [...all].sort(worstFirst);

const first = sorted([row("a", 50), row("b", 40), row("c", 30), row("d", 20), row("e", 10)]);
const shown = hold(nothingShown, first, 0, none);

describe("what arrives", () => {
  test("comes in by its order while nothing is held", () => {
    const next = sorted([...first, row("n", 45)]);
    expect(ids(hold(shown, next, 0, none))).toBe("anbcde");
  });
  test("waits while the rows that it would push are held", () => {
    const got = hold(shown, sorted([...first, row("n", 55), row("m", 35)]), 3, none);
    expect(ids(got)).toBe("abcde");
    expect(waits(got)).toBe("nm");
  });
  test("comes in below what is seen", () => {
    const got = hold(shown, sorted([...first, row("n", 15), row("m", 5)]), 3, none);
    expect(ids(got)).toBe("abcdnem");
    expect(waits(got)).toBe("");
  });
  test("comes in under a list that is shorter than its place", () => {
    const got = hold(shown, sorted([...first, row("n", 5), row("m", 55)]), 9, none);
    expect(ids(got)).toBe("abcden");
    expect(waits(got)).toBe("m");
  });
  test("goes on waiting, however often the list changes, and comes when it is let go", () => {
    const next = sorted([...first, row("n", 55)]);
    let got = hold(shown, next, 2, none);
    got = hold(got, sorted([...next, row("o", 56)]), 4, none);
    expect([ids(got), waits(got)]).toEqual(["abcde", "on"]);
    got = hold(got, next, 0, none);
    expect([ids(got), waits(got)]).toEqual(["nabcde", ""]);
  });
  test("a storm above moves nothing that is held", () => {
    let all = first;
    let got = shown;
    for (let n = 0; n < 200; n += 1) {
      all = sorted([...all, row(`x${n}`, 60 + n, { severity: n % 2 ? "extreme" : "minor" })]);
      got = hold(got, all, 3, none);
      expect(got.rows.slice(0, 3).map((i) => i.id).join("")).toBe("abc");
      expect(got.rows.length + got.waiting.length).toBe(all.length);
    }
  });
});

describe("what is held", () => {
  test("shows its newest contents in its old place", () => {
    const worse = row("c", 30, { severity: "extreme", version: 2 });
    const got = hold(shown, sorted(first.map((i) => (i.id === "c" ? worse : i))), 3, none);
    expect(ids(got)).toBe("abcde");
    expect(got.rows[2]).toBe(worse);
  });
  test("stays when the filter has let it go, with its newest contents, and is marked", () => {
    const closed = row("b", 40, { state: "closed", version: 2 });
    const got = hold(shown, first.filter((i) => i.id !== "b"), 3, (id) => (id === "b" ? closed : undefined));
    expect(ids(got)).toBe("abcde");
    expect(got.rows[1]).toBe(closed);
    expect([...got.gone]).toEqual(["b"]);
    expect(ids(hold(got, first.filter((i) => i.id !== "b"), 0, none))).toBe("acde");
  });
  test("closing a held row makes no other row wait", () => {
    const closed = row("a", 50, { state: "closed", version: 2 });
    const all = sorted(first.map((i) => (i.id === "a" ? closed : i)));
    let got = hold(shown, all, 3, none);
    got = hold(got, all, 3, none);
    expect([ids(got), waits(got)]).toEqual(["abcde", ""]);
  });
  test("what was below goes and comes freely", () => {
    const got = hold(shown, first.filter((i) => i.id !== "d"), 3, none);
    expect(ids(got)).toBe("abce");
  });
});

describe("a group that somebody opens or collapses in a list that is held", () => {
  const member = (n: number) => row(`g${n}`, 40 - n, { group: "g" });
  const hub = (count: number) => new Map([["g", { count, more: true }]]);
  const closed = (all: Incident[]) => all.map((i) => ({ ...i, state: "closed" as const }));
  const list = (all: Incident[], opened: string[]) => groupRows(closed(all), new Set(opened), (g) => (g === "g" ? "g0" : undefined), hub(50));
  const rowsOf = (s: Shown) => s.rows.map((i) => i.id).join(" ");

  test("shows its incidents below its row, also those that come later, and nothing else that comes", () => {
    const [a, z] = [row("a", 50), row("z", 1)];
    const collapsed = list([a, member(0), z], []);
    let got = hold(nothingShown, collapsed.rows, 0, none);
    let before = collapsed.groups;
    const step = (all: Incident[], opened: string[]) => {
      const next = list(all, opened);
      got = hold(got, next.rows, 5, none, next.groups, before);
      before = next.groups;
      return [rowsOf(got), got.waiting.map((i) => i.id).join(" ")];
    };
    expect(step([a, member(0), z], ["g"])).toEqual(["a g0 z", ""]); // nothing of it has come
    expect(step([a, member(0), member(1), member(2), z], ["g"])).toEqual(["a g0 g1 g2 z", ""]);
    expect(step([row("b", 45), a, member(0), row("new", 40, { group: "g" }), member(1), member(2), member(3), z], ["g"])).toEqual(["a g0 g1 g2 g3 z", "b new"]);
    expect(step([row("b", 45), a, member(0), member(1), member(3), z], ["g"])).toEqual(["a g0 g1 g2 g3 z", "b"]); // g2 is gone
    expect(step([row("b", 45), a, member(0), member(1), z], [])).toEqual(["a g0 z", "b"]);
    expect([...got.gone]).toEqual([]);
  });

  test("keeps an incident of it that belongs here no more", () => {
    const opened = list([member(0), member(1), member(2), row("z", 1)], ["g"]);
    const got = hold(hold(nothingShown, opened.rows, 0, none), list([member(0), member(2), row("z", 1)], ["g"]).rows, 4, none, list([member(0), member(2), row("z", 1)], ["g"]).groups, opened.groups);
    expect([rowsOf(got), [...got.gone]]).toEqual(["g0 g1 g2 z", ["g1"]]);
  });
});
