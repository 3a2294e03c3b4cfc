import { describe, expect, it } from "vitest";
import { put, read, write } from "./wall";

const yard = { edge: "gate-7", device: "yard" };
const river = { edge: "gate-7", device: "river" };

describe("the wall's address", () => {
  it("keeps cameras, free tiles between them and the layout", () => {
    const { layout, slots } = read("gate-7/yard,,gate-7/river", "4");
    expect(layout).toBe(4);
    expect(slots).toEqual([yard, null, river, null]);
    expect(write(slots)).toBe("gate-7/yard,,gate-7/river");
  });
  it("chooses the smallest layout that has room", () => {
    expect(read(null, null).layout).toBe(1);
    expect(read("a/b", null).layout).toBe(1);
    expect(read("a/b,c/d", "17").layout).toBe(4);
    expect(read("a/b,c/d,e/f,g/h,i/j", null).layout).toBe(9);
  });
  it("takes nothing for a camera that is none", () => {
    expect(read("gate-7,../../x,a/b/c,<img>/x,a/b", "9").slots.filter(Boolean)).toEqual([{ edge: "a", device: "b" }]);
  });
  it("has a camera once", () => expect(read("a/b,a/b,gate-7/yard", "4").slots).toEqual([{ edge: "a", device: "b" }, null, yard, null]));
  it("cuts off what a smaller layout has no room for", () => {
    expect(read("a/b,gate-7/yard,gate-7/river", "1").slots).toEqual([{ edge: "a", device: "b" }]);
  });
});

describe("a tile is changed", () => {
  it("moves a camera that is there already", () => expect(put([yard, river, null], 2, yard)).toEqual([null, river, yard]));
  it("frees a tile", () => expect(put([yard, river], 0, null)).toEqual([null, river]));
});
