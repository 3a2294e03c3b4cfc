import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Collection } from "./collection.svelte";

interface Item { id: string; rank: number; version: number }

const make = () =>
  new Collection<Item>({
    key: (i) => i.id, compare: (a, b) => b.rank - a.rank || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0), newer: (a, b) => b.version > a.version, batch: 40,
  });

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("Collection", () => {
  it("keeps the newest version whichever comes last", () => {
    const c = make();
    expect(c.put({ id: "a", rank: 1, version: 2 })).toBe("added");
    expect(c.put({ id: "a", rank: 9, version: 1 })).toBe("kept");
    expect(c.put({ id: "a", rank: 5, version: 2 })).toBe("kept");
    expect(c.put({ id: "a", rank: 3, version: 3 })).toBe("changed");
    c.flush();
    expect(c.sorted.map((i) => i.rank)).toEqual([3]);
  });

  it("shows what changes within a batch at once, in a new array", () => {
    const c = make();
    c.put({ id: "a", rank: 1, version: 1 });
    vi.advanceTimersByTime(0);
    const before = c.sorted;
    expect(before.length).toBe(1);
    c.put({ id: "b", rank: 2, version: 1 });
    c.put({ id: "c", rank: 3, version: 1 });
    expect(c.sorted).toBe(before);
    vi.advanceTimersByTime(40);
    expect(c.sorted.map((i) => i.id)).toEqual(["c", "b", "a"]);
    expect(before.length).toBe(1);
  });

  it("stays in order over many changes, in small and large batches", () => {
    const c = make();
    const model = new Map<string, Item>();
    let seed = 7;
    const random = (n: number) => (seed = (seed * 48_271) % 2_147_483_647) % n;
    for (let round = 0; round < 120; round += 1) {
      for (let n = random(60); n >= 0; n -= 1) {
        const id = String(random(400));
        if (random(5) === 0) {
          c.remove(id);
          model.delete(id);
          continue;
        }
        const item = { id, rank: random(10), version: (model.get(id)?.version ?? 0) + random(2) };
        if (c.put(item) !== "kept") model.set(id, item);
      }
      c.flush();
      const want = [...model.values()].sort((a, b) => b.rank - a.rank || (a.id < b.id ? -1 : 1));
      expect(c.sorted).toEqual(want);
    }
  });

  it("takes ten thousand and one more without sorting them all", () => {
    const c = make();
    for (let i = 0; i < 10_000; i += 1) c.put({ id: String(i), rank: i % 4, version: 1 });
    c.flush();
    const began = performance.now();
    for (let i = 0; i < 100; i += 1) {
      c.put({ id: `new ${i}`, rank: 3, version: 1 });
      c.flush();
    }
    expect(c.sorted.length).toBe(10_100);
    expect((performance.now() - began) / 100).toBeLessThan(10); // ms each; 0.1 here
  });
});
