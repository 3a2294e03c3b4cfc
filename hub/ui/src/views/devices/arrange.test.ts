import { describe, expect, it } from "vitest";
import type { Device, Edge } from "../../api/types";
import { arrange, type Filter, ranksOf, tops } from "./arrange";

const device = (edge: string, name: string, state: Device["state"] = "online", since = "2026-01-01T00:00:00Z"): Device => ({
  edge, name, kind: name.startsWith("cam") ? "camera" : "sensor", state, cause: state === "online" ? "" : "no pictures for 10 s",
  since, place: null, rules: [],
});
const edge = (name: string): Edge => ({ name, state: "online", last_seen: null, skew_ms: 0, inventory: 1, created_at: "" });
const all: Filter = { text: "", show: "all", site: "" };
const keys = (lines: ReturnType<typeof arrange>) => lines.map((l) => l.key);

const some = [
  device("a", "cam-1"), device("a", "river"),
  device("b", "cam-1"), device("b", "cam-2", "offline", "2026-01-01T02:00:00Z"), device("b", "gas", "offline", "2026-01-01T01:00:00Z"),
];
const edges = [edge("a"), edge("b"), edge("c")];

describe("arrange", () => {
  it("puts what is silent first, the longest silent first of those", () => {
    expect(keys(arrange(some, edges, all, null))).toEqual(["site b", "b/gas", "b/cam-2", "b/cam-1", "site a", "a/cam-1", "a/river", "site c"]);
  });
  it("counts as people do", () => {
    const cameras = ["cam-11", "cam-2", "cam-1"].map((name) => device("a", name));
    expect(keys(arrange(cameras, [edge("a")], all, null))).toEqual(["site a", "a/cam-1", "a/cam-2", "a/cam-11"]);
  });
  it("puts a site whose edge is away before all others", () => {
    const away = edges.map((e) => (e.name === "a" ? { ...e, state: "offline" as const } : e));
    expect(keys(arrange(some, away, all, null))[0]).toBe("site a");
  });
  it("filters by words, kind, state and site", () => {
    expect(keys(arrange(some, edges, { ...all, text: "CAM b" }, null))).toEqual(["site b", "b/cam-2", "b/cam-1"]);
    expect(keys(arrange(some, edges, { ...all, show: "silent" }, null))).toEqual(["site b", "b/gas", "b/cam-2"]);
    expect(keys(arrange(some, edges, { ...all, show: "sensor", site: "a" }, null))).toEqual(["site a", "a/river"]);
    expect(keys(arrange(some, edges, { ...all, text: "nothing" }, null))).toEqual([]);
  });
  it("keeps the order while somebody works in the list", () => {
    const ranks = ranksOf(arrange(some, edges, all, null));
    const later = [...some.map((d) => (d.name === "river" ? { ...d, state: "offline" as const } : d)), device("b", "new", "offline")];
    expect(keys(arrange(later, edges, all, ranks))).toEqual(["site b", "b/gas", "b/cam-2", "b/cam-1", "b/new", "site a", "a/cam-1", "a/river", "site c"]);
    expect(keys(arrange(later, edges, all, null)).slice(0, 2)).toEqual(["site a", "a/river"]);
  });
  it("knows where each line stands", () => {
    expect(tops(arrange(some, edges, all, null), 40, 56)[8]).toBe(3 * 40 + 5 * 56);
  });
  it("is quick with two thousand", () => {
    const many = Array.from({ length: 2000 }, (_, i) => device(`site-${i % 40}`, `cam-${i}`, i % 50 ? "online" : "offline"));
    const began = performance.now();
    expect(arrange(many, [], all, null)).toHaveLength(2040);
    expect(performance.now() - began).toBeLessThan(200);
  });
});
