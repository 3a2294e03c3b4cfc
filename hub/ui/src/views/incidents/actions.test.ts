// Actions against a hub that has one incident, and other people at it.
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { make } from "../../../tests/fixtures/incident";
import type { Incident, TimelineEntry } from "../../api/types";
import { announcer } from "../../state/announce.svelte";
import { session } from "../../state/session.svelte";
import { actions } from "./actions.svelte";

let now: Incident;

/** Somebody decides something, or an edge tells something. */
function happens(kind: string, who: string, change: Partial<Incident>, text = ""): Incident {
  const entry: TimelineEntry = { kind, who, text, at: "", occurred_at: "", recorded_at: "" };
  now = { ...now, ...change, version: now.version + 1, timeline: [...(now.timeline ?? []), entry] };
  return now;
}

const taken = (who: string): Partial<Incident> => ({ state: "acknowledged", state_by: who });

async function hub(path: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const answer = (status: number, body: unknown) => new Response(JSON.stringify(body), { status });
  if (String(path) === "/api/v1/session") return answer(200, { user: "kim", role: "dispatcher", expires_at: null });
  const action = String(path).split("/")[5];
  if (!action) return answer(200, now);
  if (new Headers(init?.headers).get("If-Match") !== `"${now.version}"`) return answer(412, { code: "incident_changed" });
  const body = JSON.parse(String(init?.body ?? "{}")) as { assignee?: string };
  if (init?.method === "DELETE") return answer(200, happens("unacknowledged", "kim", { state: "open", state_by: "", assignee: "" }));
  if (action === "assign") return answer(200, happens("assigned", "kim", { ...taken("kim"), assignee: body.assignee! }, body.assignee));
  if (action === "close") return answer(200, happens("closed", "kim", { state: "closed", state_by: "kim" }));
  if (action === "reopen") return answer(200, happens("reopened", "kim", taken("kim")));
  return answer(200, happens("acknowledged", "kim", taken("kim")));
}

beforeEach(async () => {
  vi.stubGlobal("fetch", hub);
  await session.restore();
  now = make({ id: "i-1", version: 3, timeline: [] });
  announcer.toasts = [];
});
afterEach(() => void vi.unstubAllGlobals());

const message = () => announcer.toasts.at(-1)!;
const settled = () => vi.waitFor(() => expect(actions.busy.size).toBe(0));

it("undo takes back one's own action, although the edge has told something since", async () => {
  await actions.acknowledge(now);
  happens("changed", "edge yard", { count: 5 });
  actions.last!.run();
  await vi.waitFor(() => expect(message().text).toContain("Undone"));
  expect(now.state).toBe("open");
});

it("undo of a closing leads back to what it was", async () => {
  await actions.close(now, "", "other");
  actions.last!.run();
  await vi.waitFor(() => expect(message().text).toContain("Undone"));
  expect(now.state).toBe("open");
});

it.each([
  ["an acknowledgement", () => actions.acknowledge(now)],
  ["an assignment", () => actions.assign(now, "kim")],
  ["a closing", () => actions.close(now)],
])("undo of %s does not take back what somebody else has decided since", async (_, act) => {
  await act();
  const theirs = happens("assigned", "anna", { ...taken("anna"), assignee: "anna" }, "anna");
  actions.last!.run();
  await vi.waitFor(() => expect(message().text).toContain("anna has taken it over meanwhile."));
  expect(now).toBe(theirs);
  expect(message().kind).toBe("bad");
});

it("says who was quicker with an acknowledgement", async () => {
  const seen = now;
  happens("acknowledged", "anna", taken("anna"));
  expect(await actions.acknowledge(seen)).toBe(false);
  expect(message().text).toContain("anna has already acknowledged it");
  expect(now.state_by).toBe("anna");
});

it("an assignment that somebody has not seen is kept, unless it is to be all the same", async () => {
  const seen = now;
  happens("assigned", "anna", { ...taken("anna"), assignee: "li" }, "li");
  expect(await actions.assign(seen, "kim")).toBe(false);
  expect(message().text).toContain("anna has assigned it to li meanwhile.");
  expect(now.assignee).toBe("li");
  message().action!.run();
  await settled();
  expect(now.assignee).toBe("kim");
});

it("what cannot be done any more is not offered", async () => {
  const seen = now;
  happens("closed", "anna", { state: "closed", state_by: "anna" });
  expect(await actions.assign(seen, "kim")).toBe(false);
  expect(message().text).toContain("anna has closed it meanwhile.");
  expect(message().action).toBeUndefined();
});
