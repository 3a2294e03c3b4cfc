import { expect, it } from "vitest";
import { each } from "./each";

it("does each once, so many at a time, and names what failed in order", async () => {
  for (const atOnce of [1, 3, 50]) {
    const calls: number[] = [];
    let running = 0;
    let most = 0;
    const all = Array.from({ length: 40 }, (_, n) => n);
    const r = await each(all, atOnce, async (n) => {
      calls.push(n);
      running += 1;
      most = Math.max(most, running);
      for (let wait = 0; wait <= (n * 7) % 5; wait += 1) await Promise.resolve();
      running -= 1;
      if (n % 9 === 4) throw new Error(`no ${n}`);
    });
    expect(calls.toSorted((a, b) => a - b)).toEqual(all);
    expect(most).toBe(Math.min(atOnce, all.length));
    expect(r.failed.map((f) => f.item)).toEqual([4, 13, 22, 31]);
    expect(r.failed.map((f) => (f.error as Error).message)).toEqual(["no 4", "no 13", "no 22", "no 31"]);
    expect([...r.done, ...r.failed.map((f) => f.item)].toSorted((a, b) => a - b)).toEqual(all);
  }
});

it("asks no more when the hub is gone, and says it of the rest", async () => {
  let calls = 0;
  const r = await each([1, 2, 3, 4, 5, 6], 2, async (n) => {
    calls += 1;
    if (n >= 2) throw new Error("gone");
  }, () => true);
  expect(r.done).toEqual([1]);
  expect(r.failed.map((f) => f.item)).toEqual([2, 3, 4, 5, 6]);
  expect(calls).toBeLessThan(5);
});

it("does nothing for nobody", async () => {
  expect(await each([], 4, () => Promise.reject(new Error("called")))).toEqual({ done: [], failed: [] });
});
