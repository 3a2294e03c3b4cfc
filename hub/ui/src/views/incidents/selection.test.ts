import { describe, expect, it } from "vitest";
import { type Line, Selection } from "./selection.svelte";

const lines: Line[] = [{ key: "a", ids: ["a"] }, { key: "b", ids: ["b", "b2", "b3"] }, { key: "c", ids: ["c"] }, { key: "d", ids: ["d"] }, { key: "e", ids: ["e"] }];
const selected = (s: Selection) => [...s.ids].sort().join(" ");

describe("Selection", () => {
  it("selects a row with all its incidents, and lets it go", () => {
    const s = new Selection();
    s.toggle(lines[1]!);
    expect(selected(s)).toBe("b b2 b3");
    expect(s.checked(lines[1]!)).toBe("true");
    s.toggle(lines[1]!);
    expect(selected(s)).toBe("");
  });

  it("completes a row of which some are selected", () => {
    const s = new Selection();
    s.set(["b2"]);
    expect(s.checked(lines[1]!)).toBe("mixed");
    s.toggle(lines[1]!);
    expect(selected(s)).toBe("b b2 b3");
  });

  it("extends and shortens a range without what was selected before", () => {
    const s = new Selection();
    s.toggle(lines[4]!);
    s.endRange();
    s.extend(lines, "a", "b");
    s.extend(lines, "b", "c");
    expect(selected(s)).toBe("a b b2 b3 c e");
    s.extend(lines, "c", "b");
    expect(selected(s)).toBe("a b b2 b3 e");
    s.endRange();
    s.extend(lines, "d", "c"); // another range, upwards
    expect(selected(s)).toBe("a b b2 b3 c d e");
  });

  it("begins a range at the row that was toggled, and anew when that has left", () => {
    const s = new Selection();
    s.toggle(lines[0]!);
    s.extend(lines, "c", "c");
    expect(selected(s)).toBe("a b b2 b3 c");
    s.extend(lines.slice(2), "d", "e");
    expect(selected(s)).toBe("a b b2 b3 c d e");
  });

  // What always holds: a range is what lies between its ends, whatever ends it had on the way.
  it("agrees with a model over random moves", () => {
    let seed = 7;
    const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
    for (let run = 0; run < 200; run += 1) {
      const s = new Selection();
      let base = new Set<string>();
      let anchor = -1;
      let at = random(5);
      for (let step = 0; step < 20; step += 1) {
        const to = random(5);
        switch (random(3)) {
          case 0: {
            const all = lines[to]!.ids.every((id) => s.ids.has(id));
            const want = new Set(s.ids);
            for (const id of lines[to]!.ids) if (all) want.delete(id); else want.add(id);
            s.toggle(lines[to]!);
            expect(new Set(s.ids)).toEqual(want);
            [base, anchor, at] = [want, to, to];
            break;
          }
          case 1:
            s.endRange();
            [anchor, at] = [-1, to];
            break;
          case 2: {
            if (anchor < 0) [anchor, base] = [at, new Set(s.ids)];
            s.extend(lines, lines[at]!.key, lines[to]!.key);
            at = to;
            expect(new Set(s.ids)).toEqual(new Set([...base, ...lines.slice(Math.min(anchor, to), Math.max(anchor, to) + 1).flatMap((l) => l.ids)]));
          }
        }
      }
    }
  });
});
