import { describe, expect, it } from "vitest";
import { openedAt } from "../../state/incidents.svelte";
import { groupRows, headsOf, reachedGroup } from "./group";
import { make } from "../../../tests/fixtures/incident";

const of = (id: string, group = "") => make({ id, group });
const none = () => undefined;
const ids = (rows: { id: string }[]) => rows.map((i) => i.id).join(" ");

describe("a grouped list", () => {
  const busy = Array.from({ length: 70 }, (_, n) => of(`n${n}`, "line"));
  const list = [of("a"), ...busy.slice(0, 30), of("b", "other"), ...busy.slice(30), of("c")];
  it("has one row for a busy line, with its count, where its first incident stands", () => {
    const { rows, groups } = groupRows(list, new Set(), none);
    expect(ids(rows)).toBe("a n0 b c");
    expect(groups.get("n0")).toEqual({ id: "line", count: 70, ids: busy.map((i) => i.id), last: openedAt(busy[0]!), head: true, open: false, more: false });
    expect(groups.size).toBe(1); // one of its own is no group
  });
  it("shows all of an opened group below its row, in their order", () => {
    const { rows, groups } = groupRows(list, new Set(["line"]), none);
    expect(ids(rows)).toBe(`a ${ids(busy)} b c`);
    expect(groups.get("n69")).toMatchObject({ id: "line", count: 70, head: false, open: true });
  });
  it("keeps the incident that its row shows when a newer one comes, and says when that happened", () => {
    const newer = make({ id: "new", group: "line", opened_at: new Date(openedAt(busy[0]!) + 9000).toISOString() });
    const kept = (id: string) => (group: string) => (group === "line" ? id : undefined);
    const { rows, groups } = groupRows([newer, ...list], new Set(), kept("n0"));
    expect(ids(rows)).toBe("n0 a b c");
    expect(groups.get("n0")).toMatchObject({ count: 71, last: openedAt(newer) });
    expect(ids(groupRows([newer, ...list], new Set(), kept("gone")).rows)).toBe("new a b c");
    expect(ids(groupRows(list, new Set(["line"]), kept("n1")).rows).startsWith("a n1 n0 n2 ")).toBe(true);
  });
  it("keeps the row of what is repeated for the first time", () => {
    const before = groupRows(list, new Set(), none);
    const heads = headsOf(before.rows, before.groups);
    expect([...heads]).toEqual([["a", "a"], ["line", "n0"], ["other", "b"], ["c", "c"]]);
    expect(ids(groupRows([of("again", "other"), ...list], new Set(), (g) => heads.get(g)).rows)).toBe("b a n0 c");
    const open = groupRows(list, new Set(["line"]), none);
    expect(headsOf(open.rows, open.groups).get("line")).toBe("n0"); // not one of those below it
  });
  it("counts the closed ones that the hub has, though one of them is there", () => {
    const hub = new Map([["line", { count: 50_000, more: true }], ["other", { count: 1, more: false }]]);
    const closed = [make({ id: "x", group: "line", state: "closed" }), make({ id: "y", group: "other", state: "closed" })];
    const { rows, groups } = groupRows([of("n0", "line"), ...closed], new Set(), none, hub);
    expect(ids(rows)).toBe("n0 y");
    expect(groups.get("n0")).toMatchObject({ count: 50_001, ids: ["n0", "x"], open: false, more: false });
    expect(groups.has("y")).toBe(false);
    expect(groupRows(closed, new Set(), none, hub).groups.get("x")).toMatchObject({ count: 50_000, ids: ["x"] });
    const opened = groupRows([of("n0", "line"), ...closed], new Set(["line"]), none, hub);
    expect(ids(opened.rows)).toBe("n0 x y");
    expect([0, 1, 2].map((n) => reachedGroup(opened.rows, opened.groups, n, n + 1))).toEqual(["", "line", ""]); // more of it follows its last row
  });
  it("takes incidents of a hub without groups as they are", () => expect(ids(groupRows([of("a"), of("b")], new Set(), none).rows)).toBe("a b"));
});
