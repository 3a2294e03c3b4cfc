import { expect, it } from "vitest";
import { fileName } from "./snapshot";

it("a file is called by its camera and its time", () => {
  expect(fileName("gate-7", "yard", new Date(2026, 4, 3, 4, 5, 6).getTime())).toBe("gate-7_yard_2026-05-03_04-05-06.jpg");
});
