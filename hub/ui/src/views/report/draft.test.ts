import { describe, expect, it, test } from "vitest";
import { translate } from "../../i18n/i18n.svelte";
import { bodyOf, emptyDraft, isEmpty, readDraft, parseFields } from "./draft";

const said = { where: (x: string) => `Where: ${x}`, who: (x: string) => `By: ${x}` };

describe("draft", () => {
  it("comes back as it was", () => {
    const d = { ...emptyDraft(), what: "a tree", place: { lat: 1, lon: 2 }, severity: "severe" as const, who: "Wang 138" };
    expect(readDraft(JSON.stringify(d))).toEqual(d);
  });
  it("takes nothing that makes no sense", () => {
    for (const text of [null, "", "[", "[]", "3", '{"severity":"awful","place":{"lat":"x"},"key":"1","what":7}']) {
      const d = readDraft(text);
      expect(isEmpty(d)).toBe(true);
      expect(d.severity).toBe("moderate");
      expect(d.key).toMatch(/^[0-9a-f]{32}$/);
    }
  });
  it("has a key of its own each time", () => {
    expect(emptyDraft().key).not.toBe(emptyDraft().key);
  });
  it("says where and who in its text", () => {
    const d = { ...emptyDraft(), what: " a\n tree ", where: "Bridge", who: "Wang", remarks: "big" };
    expect(bodyOf(d, said)).toEqual({ title: "a tree", text: "Where: Bridge\nBy: Wang\nbig", severity: "moderate" });
    expect(bodyOf({ ...emptyDraft(), what: "x", place: { lat: 1, lon: 2 } }, said)).toEqual({ title: "x", severity: "moderate", place: { lat: 1, lon: 2 } });
  });
});

test("what was sent is taken apart again", () => {
  const d = { ...emptyDraft(), where: "silk mill", who: "Wang: 555 0101", remarks: "Where: unclear" };
  const said = (l: "en" | "zh-CN") => ({ where: (where: string) => translate(l, "report.said.where", { where }), who: (who: string) => translate(l, "report.said.who", { who }) });
  for (const l of ["en", "zh-CN"] as const) expect(parseFields(bodyOf({ ...d, what: "smoke" }, said(l)).text!)).toEqual({ where: d.where, who: d.who, remarks: d.remarks });
  expect(parseFields("only remarks")).toEqual({ where: "", who: "", remarks: "only remarks" });
});
