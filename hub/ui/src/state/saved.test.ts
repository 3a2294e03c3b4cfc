import { expect, test } from "vitest";
import { cleanName, mostSaved, readSaved, saved } from "./saved.svelte";

test("what makes no sense is left out", () => {
  for (const text of [null, "", "x", "null", "3", "[]", '{"li":3}']) expect(Object.values(readSaved(text)).flat()).toEqual([]);
  expect(readSaved('{"li":[{"name":"a","query":"q"},{"name":1},null]}')).toEqual({ li: [{ name: "a", query: "q" }] });
});

test("each person has their own, by name", () => {
  expect(saved.save("li", "nights", "since=night")).toBe(true);
  expect(saved.save("li", "mine", "assignee=~me")).toBe(true);
  expect(saved.of("wang")).toEqual([]);
  expect(saved.of("constructor")).toEqual([]);
  saved.save("li", "nights", "since=night&state=all"); // in place of the one of that name
  expect(saved.of("li")).toEqual([{ name: "nights", query: "since=night&state=all" }, { name: "mine", query: "assignee=~me" }]);
  saved.rename("li", "mine", "my own");
  saved.rename("li", "my own", "my own");
  expect(saved.of("li").map((f) => f.name)).toEqual(["nights", "my own"]);
  saved.rename("li", "my own", "nights"); // the other one of that name goes
  expect(saved.of("li")).toEqual([{ name: "nights", query: "assignee=~me" }]);
  saved.remove("li", "nights");
  expect(saved.of("li")).toEqual([]);
});

test("they are bounded", () => {
  for (let n = 0; n < mostSaved; n += 1) expect(saved.save("zhao", `f${n}`, "")).toBe(true);
  expect(saved.save("zhao", "one more", "")).toBe(false);
  expect(saved.save("zhao", "f0", "state=all")).toBe(true);
  expect(saved.of("zhao").length).toBe(mostSaved);
  expect(cleanName(`  a \n b ${"x".repeat(100)}`)).toMatch(/^a b x{56}$/);
});
