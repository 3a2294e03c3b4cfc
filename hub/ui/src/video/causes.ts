// Why there is no picture. Sites say it by the codes of devices/causes.go; the hub in English sentences. Those that are
// known have a code of this file, and so words in every language; all others are shown as they are.
import type { ApiError } from "../api/client";
import type { Cause as Coded } from "../i18n/causes";

export type Code =
  | "hub.unreachable" | "hub.timeout" | "hub.full" | "hub.stopping" | "hub.error" | "hub.forgot"
  | "session" | "role" | "camera.none" | "incident.none" | "codec"
  | "site.none" | "site.old" | "site.offline" | "site.silent" | "site.slow" | "site.full" | "site.lost" | "site.stopping"
  | "camera.offline" | "camera.silent" | "camera.coding" | "camera.unknown"
  | "line.never" | "line.lost" | "line.closed" | "line.empty"
  | "picture.never" | "picture.gone" | "picture.broken" | "picture.none"
  | "over" | "elsewhere" | "browser" | "told";

export interface Cause {
  code: Code;
  /** what was said, in English; shown as it is where the code is "told", and inside others */
  detail?: string;
  /** the site's cause, put into words instead of detail */
  coded?: Coded;
  /** the camera as the sentence names it, or a count */
  n?: number;
}

/** What the answers of sites to the hub's commands mean. */
const codes: Record<string, Code> = {
  camera_unknown: "camera.none", camera_not_online: "camera.offline",
  command_unknown: "site.old", command_expired: "site.silent", publications_full: "site.full", edge_stopping: "site.stopping",
};

/** Forms of sentences of the hub (hub/internal/relay, hub/internal/app). */
const forms: [RegExp, Code][] = [
  [/serves its limit of (?<n>\d+) viewers/, "hub.full"],
  [/^the hub (?:is stopping|was stopped)/, "hub.stopping"],
  [/^the request ended before the picture came/, "hub.timeout"],
  [/^there is no such session/, "hub.forgot"],
  [/^there is no such camera/, "camera.none"],
  [/^there is no such incident/, "incident.none"],
  [/^there is no edge /, "site.none"],
  [/^the edge \S+ is not connected/, "site.offline"],
  [/^the edge(?: \S+)? does not answer/, "site.silent"],
  [/has not begun to send within (?<n>\d+)/, "site.slow"],
  [/no pictures for (?<n>\d+) s/, "camera.silent"],
  [/the camera's coding has changed/, "camera.coding"],
  [/no coding in common|neither H\.264/, "codec"],
  [/time limit of .* was reached/, "over"],
  [/the viewer (?:ended it|closed the connection)|nobody is watching/, "elsewhere"],
  [/^(?<detail>the offer cannot be used.*)/, "browser"],
  [/^the viewer could not be reached|no connection came about/, "line.never"],
  [/^the connection to the viewer was lost/, "line.lost"],
  [/^the picture from the edge ended: the connection was lost/, "site.lost"],
  [/^the picture from the edge ended|the edge ended it|the other side closed/, "site.stopping"],
];

/** What a sentence means. */
export function causeOfWords(words: string): Cause {
  for (const [form, code] of forms) {
    const m = words.match(form);
    if (!m) continue;
    const { n, detail } = m.groups ?? {};
    return { code, ...(n !== undefined && { n: Number(n) }), ...(detail !== undefined && { detail }) };
  }
  return { code: "told", detail: words };
}

/** What a site's cause means. */
function causeOfCode(c: Coded): Cause {
  const { cause = "", cause_code: of = "", ...rest } = c.params ?? {};
  const code = of === "device_not_heard" ? "camera.unknown" : codes[c.code];
  if (!code) return { code: "told", coded: c };
  const params = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name.replace(/^cause_/, ""), value]));
  return { code, ...(c.params?.["count"] && { n: Number(c.params["count"]) }), ...(cause && { coded: { code: of, params, text: cause } }) };
}

/** Why the hub did not begin a view. */
export function causeOfAnswer(e: ApiError): Cause {
  switch (e.status) {
    case 0:
      return { code: e.timeout ? "hub.timeout" : "hub.unreachable" };
    case 401:
      return { code: "session" };
    case 403:
      return { code: "role" };
    case 406:
      return { code: "codec" };
  }
  if (e.reason) return causeOfCode(e.reason);
  if (e.detail) return causeOfWords(e.detail);
  return e.status >= 500 ? { code: "hub.error" } : { code: "told", detail: e.title };
}

/** Why the hub ended a view. */
export const causeOfEnd = (words: string): Cause => (words ? causeOfWords(words) : { code: "line.closed" });

/** What somebody said No to, and not what broke. */
const refusals: Partial<Record<Code, "for good" | "for now">> = {
  session: "for good", role: "for good", "camera.none": "for good", "incident.none": "for good", codec: "for good", "site.none": "for good", "site.old": "for good",
  "hub.full": "for now", "site.full": "for now", "site.offline": "for now", "camera.offline": "for now", "camera.unknown": "for now", told: "for now",
};

/** Whether a cause is a refusal, and whether asking again later can help. */
export const refusal = (c: Cause): "for good" | "for now" | null => refusals[c.code] ?? null;
