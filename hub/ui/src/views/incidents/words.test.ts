import { describe, expect, test } from "vitest";
import type { Incident } from "../../api/types";
import { make } from "../../../tests/fixtures/incident";
import { textOf, Words } from "./words.svelte";

/** A text costs a millisecond; pauses end when they are told to. */
function slow() {
  let time = 0;
  let made = 0;
  const waiting: (() => void)[] = [];
  const words = new Words((i) => ((time += 1), (made += 1), i.id), { now: () => time, pause: () => new Promise((done) => waiting.push(done)) });
  return {
    words,
    made: () => made,
    async next() {
      waiting.splice(0).forEach((go) => go());
      await Promise.resolve();
      await Promise.resolve();
    },
  };
}
const many = (n: number, from = 0): Incident[] => Array.from({ length: n }, (_, k) => make({ id: `i-${from + k}` }));

describe("the texts that are looked through", () => {
  test("hold the names as they are written too, in lower case", () => {
    expect(textOf(make({ id: "0198", device: "Back-Yard", title: "Motion" }))).toMatch(/motion\n[\s\S]*\nback-yard\n[\s\S]*\n0198$/);
  });

  test("few are made at once", () => {
    const { words, made } = slow();
    words.want(many(5), "en");
    expect(words.reading).toBe(false);
    expect(made()).toBe(5);
  });

  test("ten thousand are made a few between two pauses", async () => {
    const { words, made, next } = slow();
    const all = many(10_000);
    words.want(all, "en");
    expect(words.of(all[0]!)).toBe("i-0");
    expect(words.of(all[9_999]!)).toBeUndefined(); // and is not made because it was asked for
    let most = made();
    for (let before = made(); words.reading; before = made()) {
      await next();
      most = Math.max(most, made() - before);
    }
    expect(made()).toBe(10_000);
    expect(most).toBeLessThanOrEqual(8);
    expect(words.of(all[9_999]!)).toBe("i-9999");
  });

  test("a version that is known is not made again, a new one is", async () => {
    const { words, made, next } = slow();
    const all = many(20);
    words.want(all, "en");
    const changed = [{ ...all[0]!, version: 2 }, ...all.slice(1)];
    words.want(changed, "en"); // while the others are still being made
    while (words.reading) await next();
    expect(made()).toBe(21);
    expect(words.of({ ...all[1]!, version: 2 })).toBe("i-1"); // one that has come since
    expect(made()).toBe(22);
  });

  test("another language makes them anew", async () => {
    const { words, made, next } = slow();
    const all = many(20);
    for (const language of ["en", "zh-CN", "zh-CN"] as const) {
      words.want(all, language);
      while (words.reading) await next();
    }
    expect(made()).toBe(40);
  });
});
