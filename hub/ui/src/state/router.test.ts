import { describe, expect, it } from "vitest";
import { match, to } from "./router.svelte";

describe("match", () => {
  it.each([
    ["/", "incidents", {}],
    ["/incidents", "incidents", {}],
    ["/incidents/", "incidents", {}],
    ["/incidents/0198-ab", "incident", { id: "0198-ab" }],
    ["/map", "map", {}],
    ["/wall", "wall", {}],
    ["/devices", "devices", {}],
    ["/devices/yard/cam%2F1", "device", { edge: "yard", device: "cam/1" }],
    ["/report", "report", {}],
    ["/admin", "admin", { page: "users" }],
    ["/admin/edges", "admin", { page: "edges" }],
    ["/admin/boxes", "admin", { page: "edges" }],
    ["/admin/webhooks", "admin", { page: "webhooks" }],
    ["/welcome", "welcome", {}],
    ["/screen", "screen", {}],
    ["/screen/x", "missing", { path: "/screen/x" }],
    ["/admin/nothing", "missing", { path: "/admin/nothing" }],
    ["/devices/yard", "missing", { path: "/devices/yard" }],
    ["/map/x", "missing", { path: "/map/x" }],
    ["/incidents/%zz", "incident", { id: "%zz" }],
  ])("%s", (path, name, params) => {
    expect(match(path)).toEqual({ name, params });
  });
});

describe("to", () => {
  it("writes what match reads", () => {
    expect(match(to.incident("a b/c"))).toEqual({ name: "incident", params: { id: "a b/c" } });
    expect(match(to.device("yard", "cam 1"))).toEqual({ name: "device", params: { edge: "yard", device: "cam 1" } });
  });
  it("writes addresses that can be read", () => {
    expect(to.wall([{ edge: "yard", device: "a" }, { edge: "yard", device: "b" }])).toBe("/wall?cams=yard/a,yard/b");
    expect(to.map(31.230412, 121.4737, 16, "yard/a")).toBe("/map?at=31.23041,121.47370,16&select=yard/a");
  });
});
