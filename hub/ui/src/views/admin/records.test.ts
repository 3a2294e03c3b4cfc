import { describe, expect, it } from "vitest";
import { translate, type Key } from "../../i18n/i18n.svelte";
import { languages } from "../../i18n/messages";
import { actions, auditQuery, cleared, isActive, readFilter, viewsQuery } from "./records";

const of = (query: string) => readFilter(new URLSearchParams(query));

describe("filters of the records", () => {
  it("come from the address, and only what makes sense", () => {
    expect(isActive(of(""))).toBe(false);
    expect(isActive(of("other=1"))).toBe(false);
    expect(of("who=+li.wei+&from=yesterday&to=2026-13-40T99:99")).toMatchObject({ who: "li.wei", from: "", to: "" });
    expect(isActive(of("without=incident"))).toBe(true);
    for (const name of Object.keys(cleared)) expect(isActive(of(`${name}=${name === "from" || name === "to" ? "2026-11-30T08:00" : "incident"}`)), name).toBe(true);
  });
  it("ask the hub for views", () => {
    expect(viewsQuery(of("who=li&camera=gate-7/yard&incident=i-1&action=view"))).toEqual({ who: "li", edge: "gate-7", device: "yard", incident: "i-1" });
    expect(viewsQuery(of("incident=i-1&without=incident"))).toEqual({ no_incident: "true" });
    expect(viewsQuery(of("camera=gate-7"))).toEqual({});
    const at = viewsQuery(of("from=2026-11-30T08:00&to=2026-11-30T16:30"));
    expect(Date.parse(at["until"]!) - Date.parse(at["since"]!)).toBe(8.5 * 3_600_000);
    expect(new Date(at["since"]!).getHours()).toBe(8);
  });
  it("ask the hub for entries of the audit log", () => {
    expect(auditQuery(of("who=li&action=log+in&object=gate-7/yard&camera=a/b"))).toEqual({ who: "li", action: "log in", object: "gate-7/yard" });
  });
  it.each(languages)("has words for each action and group in %s", (language) => {
    for (const [group, all] of Object.entries(actions)) {
      for (const key of [`audit.group.${group}`, ...all.map((a) => `audit.did.${a.replaceAll(" ", "-")}`)]) expect(translate(language, key as Key)).not.toBe(key);
    }
  });
});
