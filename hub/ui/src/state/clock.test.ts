import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Clock } from "./clock.svelte";

const start = Date.parse("2026-05-03T06:00:00.400Z"); // the hub's time

let clock: Clock;
beforeEach(() => {
  vi.useFakeTimers();
  vi.setSystemTime(start);
  clock = new Clock();
});
afterEach(() => void vi.useRealTimers());

/** An answer of the hub that took so long and was written after some of that, while this machine's clock is wrong by so much. */
function answer(wrong: number, took: number, written: number): void {
  const hub = Date.now() - wrong + written;
  vi.setSystemTime(Date.now() + took);
  clock.hear(Math.floor(hub / 1000) * 1000, took);
}

/** Small numbers that are the same in each run. */
function numbers(seed: number): (below: number) => number {
  return (below) => (seed = (seed * 48_271) % 2_147_483_647) % below;
}

describe.each([[-3_600_000], [-2000], [-700], [0], [700], [2000], [86_400_000]])("a desk clock wrong by %i ms", (wrong) => {
  beforeEach(() => void vi.setSystemTime(start + wrong));

  it("shows the hub's time, within the time that the answer took and a second at first, and exactly soon", () => {
    const random = numbers(1 + Math.abs(wrong));
    for (let n = 0; n < 200; n += 1) {
      const took = 2 + random(40);
      answer(wrong, took, random(took));
      expect(Math.abs(clock.exact() - (Date.now() - wrong))).toBeLessThanOrEqual(1000 + took);
      vi.setSystemTime(Date.now() + random(5000));
    }
    expect(Math.abs(clock.exact() - (Date.now() - wrong))).toBeLessThan(60);
  });

  it("does not let the time go back from one answer to the next by more than the answers leave open", () => {
    const random = numbers(77 + Math.abs(wrong));
    for (let n = 0; n < 40; n += 1) answer(wrong, 5, random(5));
    let before = clock.exact();
    for (let n = 0; n < 100; n += 1) {
      answer(wrong, 5, random(5));
      expect(clock.exact()).toBeGreaterThanOrEqual(before);
      before = clock.exact();
      vi.setSystemTime(Date.now() + 300);
    }
  });

  it("is told from 2 s on", () => {
    const random = numbers(9);
    for (let n = 0; n < 100; n += 1) {
      answer(wrong, 4, random(4));
      vi.setSystemTime(Date.now() + 100 + random(900));
    }
    if (Math.abs(wrong) < 2000) expect(clock.wrong).toBe(0);
    if (Math.abs(wrong) > 2000) expect(clock.wrong).toBe(-wrong);
  });
});

it("counts a slow answer for as much as it says", () => {
  answer(0, 8000, 7900);
  expect(clock.offset).toBe(0);
  answer(3_600_000, 8000, 4000);
  expect(Math.abs(clock.offset + 3_600_000)).toBeLessThan(9000);
});

it("follows a clock that is set", () => {
  for (let n = 0; n < 20; n += 1) answer(0, 10, 5);
  vi.setSystemTime(Date.now() + 60_000);
  answer(60_000, 10, 5);
  expect(Math.abs(clock.offset + 60_000)).toBeLessThan(1100);
});
