// Changes that are based on what a person has seen.
//
// What always holds: a decision of another person is never overwritten by somebody who has not seen it. Each change
// carries the version that it is based on; where the hub has a newer one, what people have decided since is compared.
import { ApiError } from "../api/client";
import type { Incident, TimelineEntry } from "../api/types";
import { incidents } from "./incidents.svelte";

/** Somebody has decided something about the incident since it was seen; nothing was changed. */
export class Changed extends Error {
  constructor(
    /** as it is now, with its timeline */
    readonly now: Incident,
  ) {
    super(`the incident ${now.id} was changed meanwhile`);
    this.name = "Changed";
  }
}

const tries = 5; // an edge that tells something new each time does not hold a person up for ever
const decisions = new Set(["acknowledged", "unacknowledged", "assigned", "closed", "reopened", "joined"]);

/** What people have decided about an incident. What its edge says of it, and notes, are not part of it. */
function decided(i: Incident): string {
  return JSON.stringify([i.state, i.state === "open" ? "" : i.state_by, i.assignee, i.outcome ?? ""]);
}

/** The newest decision in the timeline; undefined where there is none. */
export function lastDecision(i: Incident): TimelineEntry | undefined {
  return i.timeline?.filter((e) => decisions.has(e.kind)).at(-1);
}

/**
 * Changes an incident as it was seen: change sends the version that it is based on. What the edge has told since does not
 * matter, the change is sent again for the newest version. Where a person has decided something since, it throws
 * Changed.
 */
export async function unlessChanged(seen: Incident, change: (version: number) => Promise<Incident>): Promise<Incident> {
  let { version } = seen;
  for (let n = 1; ; n += 1) {
    try {
      return await change(version);
    } catch (error) {
      if (!(error instanceof ApiError) || (error.status !== 409 && error.status !== 412)) throw error;
      const now = await incidents.fetch(seen.id);
      if (decided(now) !== decided(seen)) throw new Changed(now);
      if (error.status === 409 || n === tries) throw error;
      ({ version } = now);
    }
  }
}
