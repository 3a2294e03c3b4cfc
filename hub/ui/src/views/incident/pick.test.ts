import { expect, test } from "vitest";
import type { Ranked } from "../../api/types";
import { best, others, toggle } from "./pick";

const camera = (device: string, part: Partial<Ranked> = {}): Ranked =>
  ({ edge: "yard", device, sees: true, sight: "in_view", distance: 10, bearing: 0, state: "online", cause: "", reason: "", ...part }) as Ranked;
const names = (all: Ranked[]) => all.map((r) => r.device).join("");

test("four at most, in the hub's order", () => {
  expect(names(best(["a", "b", "c", "d", "e"].map((d) => camera(d))))).toBe("abcd");
});
test("what is offline is passed over", () => {
  expect(names(best([camera("a", { state: "offline" }), camera("b"), camera("c", { state: "unknown" })]))).toBe("b");
});
test("what does not see the place is not played, and fills the tiles that are left on request", () => {
  const ranked = [camera("a"), camera("b", { sees: false }), camera("c", { sees: false, state: "offline" }), camera("d", { sees: false }), camera("e", { sees: false }), camera("f", { sees: false })];
  expect(names(best(ranked))).toBe("a");
  expect(names(others(ranked, ["yard/a"]))).toBe("bde");
  expect(names(others(ranked, ["yard/a", "yard/b"]))).toBe("de");
  expect(names(others(ranked, []))).toBe("bdef");
  expect(others(ranked, ["1", "2", "3", "4"])).toEqual([]);
  expect(best([camera("a", { sees: false })])).toEqual([]);
});
test("choosing a fifth lets the first go", () => {
  let playing: string[] = [];
  for (const d of ["a", "b", "c", "d", "e"]) playing = toggle(playing, camera(d));
  expect(playing).toEqual(["yard/b", "yard/c", "yard/d", "yard/e"]);
  expect(toggle(playing, camera("c"))).toEqual(["yard/b", "yard/d", "yard/e"]);
});
