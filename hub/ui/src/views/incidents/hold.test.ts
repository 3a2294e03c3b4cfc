import { describe, expect, test } from "vitest";
import type { Incident } from "../../api/types";
import { worstFirst } from "../../state/incidents.svelte";
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
