// The filters of the audit log and of the viewing log: in the page's address, and as the hub is asked. Pure.

export interface RecordFilter {
  who: string;
  camera: string; // "edge/device"
  incident: string; // its ID
  noIncident: boolean;
  action: string;
  object: string;
  from: string; // local time as a field of the page has it: 2026-11-30T08:00
  to: string;
}

const names = ["who", "camera", "incident", "action", "object", "from", "to"] as const;

/** The filter of an address. */
export function readFilter(query: URLSearchParams): RecordFilter {
  const text = Object.fromEntries(names.map((n) => [n, query.get(n)?.trim() ?? ""])) as Record<(typeof names)[number], string>;
  return { ...text, from: local(text.from), to: local(text.to), noIncident: query.get("without") === "incident" };
}

/** What takes every filter out of an address. */
export const cleared: Record<string, null> = Object.fromEntries([...names, "without"].map((n) => [n, null]));

export const isActive = (f: RecordFilter): boolean => f.noIncident || names.some((n) => f[n] !== "");

const local = (text: string): string => (/^\d{4}-\d\d-\d\dT\d\d:\d\d$/.test(text) && !Number.isNaN(Date.parse(text)) ? text : "");

function period(f: RecordFilter): Record<string, string> {
  return { ...(f.from && { since: new Date(f.from).toISOString() }), ...(f.to && { until: new Date(f.to).toISOString() }) };
}

/** What the hub is asked for views. */
export function viewsQuery(f: RecordFilter): Record<string, string> {
  const [edge, device] = f.camera.split("/");
  return {
    ...(f.who && { who: f.who }), ...(edge && device && { edge, device }), ...(f.noIncident ? { no_incident: "true" } : f.incident && { incident: f.incident }), ...period(f),
  };
}

/** What the hub is asked for entries of the audit log. */
export function auditQuery(f: RecordFilter): Record<string, string> {
  return { ...(f.who && { who: f.who }), ...(f.action && { action: f.action }), ...(f.object && { object: f.object }), ...period(f) };
}

/** The actions that people can look for, by group. Others are found by who and when. */
export const actions = {
  views: ["view", "view end", "view export", "evidence read", "publish", "publish end", "publish repeated"],
  incidents: [
    "report", "report join", "incident acknowledged", "incident unacknowledged", "incident assigned", "incident noted", "incident closed", "incident reopened",
    "incident joined", "incident held", "incident released", "rule muted", "rule unmuted",
  ],
  signIn: ["log in", "log in failed", "log out", "user totp enable", "user totp remove"],
  people: ["user add", "user rename", "user password", "user role", "user disable", "user enable", "user remove", "token create", "token revoke"],
  system: [
    "edge add", "edge enrol", "edge revoke", "webhook add", "webhook enable", "webhook disable", "webhook remove", "webhook test", "audit export", "incident export", "audit verify",
    "audit key", "backup", "restore",
  ],
} as const;
