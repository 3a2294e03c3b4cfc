// Incidents for tests.
import type { Incident } from "../../api/types";

export function make(part: Partial<Incident> = {}): Incident {
  return {
    id: "i-1", edge: "yard", device: "gate", rule: "yard", kind: "zone", title: "motion in the yard",
    severity: "moderate", state: "open", condition: "open", source: "edge",
    opened_at: "2026-05-03T11:59:00Z", received_at: "2026-05-03T11:59:01Z", updated_at: "2026-05-03T11:59:01Z", closed_at: null,
    place: null, count: 1, version: 1, assignee: "", state_by: "", evidence: [], class: "motion",
    ...part,
  } as Incident;
}
