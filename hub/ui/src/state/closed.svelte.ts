// A list of closed incidents, page by page.
//
// What always holds: each incident stands in the list once, in its newest version that is known, and only as long
// as it is closed; what is closed after a page was fetched is added where it belongs.
import { api } from "../api/client";
import type { Incident, Severity } from "../api/types";
import { type IncidentPage, type IncidentQuery, incidents, isNewer } from "./incidents.svelte";
import { Pages } from "./pages.svelte";

export class ClosedList extends Pages<Incident, IncidentPage> {
  protected request(query: IncidentQuery, next: string | undefined, signal: AbortSignal): Promise<IncidentPage> {
    return incidents.fetchPage({ ...query, next }, signal);
  }

  protected add(p: IncidentPage): boolean {
    const known = new Set(this.rows.map((i) => i.id));
    const rows = [...this.rows];
    for (const i of p.incidents) if (!known.has(i.id)) rows.push(i);
    this.rows = rows.slice(0, this.most);
    return rows.length <= this.most;
  }

  protected take(i: Incident, before: Incident | undefined): void {
    const at = this.rows.findIndex((r) => r.id === i.id);
    if (at >= 0) {
      if (!isNewer(this.rows[at]!, i)) return;
      this.rows = i.state === "closed" ? this.rows.with(at, i) : this.rows.toSpliced(at, 1);
      return;
    }
    const f = this.filter;
    if (!f || i.state !== "closed" || before?.state === "closed" || !f.matches(i)) return;
    const below = this.rows.findIndex((r) => f.compare(i, r) < 0);
    if (below >= 0) this.rows = this.rows.toSpliced(below, 0, i).slice(0, this.most);
    else if (this.complete) this.rows = [...this.rows, i].slice(0, this.most);
  }
}

export const closed = new ClosedList();

/** How many incidents of a state and severity the hub has. */
export interface Total {
  state: Incident["state"];
  severity: Severity;
  count: number;
}

export async function fetchTotals(signal: AbortSignal): Promise<Total[]> {
  return (await api.get<{ counts: Total[] }>("/api/v1/incidents/counts", { signal })).counts;
}
