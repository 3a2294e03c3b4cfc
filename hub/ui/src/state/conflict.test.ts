import { afterEach, expect, it, vi } from "vitest";
import { ApiError } from "../api/client";
import type { Incident, TimelineEntry } from "../api/types";
import { make } from "../../tests/fixtures/incident";
import { Changed, lastDecision, unlessChanged } from "./conflict";
import { incidents } from "./incidents.svelte";

afterEach(() => void vi.restoreAllMocks());

/** A hub that has one incident: refuses changes of another version, as it does. */
function hub(now: Incident, before: (n: number) => Incident = () => now) {
  let n = 0;
  vi.spyOn(incidents, "fetch").mockImplementation(() => Promise.resolve(before(n)));
  return (version: number): Promise<Incident> => {
    n += 1;
    const i = before(n);
    return version === i.version ? Promise.resolve({ ...i, version: version + 1, state: "acknowledged" }) : Promise.reject(new ApiError(412, "changed"));
  };
}

it("is based on the version that was seen", async () => {
  expect((await unlessChanged(make({ version: 3 }), hub(make({ version: 3 })))).version).toBe(4);
});

it("goes through although the edge has told something new, or somebody has written a note", async () => {
  const now = make({ version: 9, count: 7, condition: "closed" });
  expect((await unlessChanged(make({ version: 3 }), hub(now))).version).toBe(10);
});

it.each([
  ["acknowledged it", make({ version: 9, state: "acknowledged", state_by: "anna" })],
  ["assigned it", make({ version: 9, state: "acknowledged", state_by: "anna", assignee: "li" })],
  ["closed it", make({ version: 9, state: "closed", state_by: "anna", outcome: "other" })],
])("is refused when somebody has %s meanwhile", async (_, now) => {
  const error: unknown = await unlessChanged(make({ version: 3 }), hub(now)).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(Changed);
  expect((error as Changed).now).toBe(now);
});

it("is refused when somebody else has taken it from the one who had it", async () => {
  const seen = make({ version: 3, state: "acknowledged", state_by: "li", assignee: "li" });
  await expect(unlessChanged(seen, hub(make({ version: 4, state: "acknowledged", state_by: "anna", assignee: "anna" })))).rejects.toBeInstanceOf(Changed);
});

it("gives up when the edge is always quicker", async () => {
  const error: unknown = await unlessChanged(make(), hub(make(), (n) => make({ version: 10 + n }))).catch((e: unknown) => e);
  expect((error as ApiError).status).toBe(412);
  expect(vi.mocked(incidents.fetch).mock.calls.length).toBe(5);
});

it("passes on what has nothing to do with versions", async () => {
  const asked = vi.spyOn(incidents, "fetch");
  await expect(unlessChanged(make(), () => Promise.reject(new ApiError(403, "no")))).rejects.toThrow("no");
  expect(asked).not.toHaveBeenCalled();
});

it("knows the last decision from what an edge tells and from notes", () => {
  const entry = (kind: string, who: string): TimelineEntry => ({ kind, who, at: "", occurred_at: "", recorded_at: "", text: "" });
  expect(lastDecision(make({ timeline: [entry("opened", "edge a"), entry("acknowledged", "li"), entry("closed", "anna"), entry("noted", "kim"), entry("over", "edge a")] }))?.who).toBe("anna");
  expect(lastDecision(make())).toBeUndefined();
});
