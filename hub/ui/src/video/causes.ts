// Why there is no video. Edges and the hub give codes of devices/causes.go and hub/internal/problem/codes.go. Those that
// a tile acts on are mapped to the codes of this file; all others are shown by their own words.
import type { ApiError } from "../api/client";
import type { Cause as Coded } from "../i18n/causes";
import type { Address } from "./environment";

export type Code =
  | "hub.unreachable" | "hub.timeout" | "hub.full" | "hub.stopping" | "hub.error" | "hub.forgot"
  | "session" | "role" | "camera.none" | "incident.none" | "codec"
  | "site.none" | "site.old" | "site.offline" | "site.silent" | "site.slow" | "site.full" | "site.lost" | "site.stopping"
  | "camera.offline" | "camera.silent" | "camera.coding" | "camera.bframes" | "camera.unknown"
  | "relay.unreachable" | "relay.expired"
  | "line.never" | "line.lost" | "line.closed" | "line.empty" | "http.full"
  | "picture.never" | "picture.gone" | "picture.broken" | "picture.none"
  | "over" | "elsewhere" | "browser" | "other";

export interface Cause {
  code: Code;
  /** the reason in English; shown as it is where the code is "other", and inside others */
  detail?: string;
  /** the site's cause, put into words instead of detail */
  coded?: Coded;
  /** the camera as the sentence names it, or a count */
  n?: number;
}

/** What the codes of edges and of the hub mean for a tile. */
const codes: Record<string, Code> = {
  camera_unknown: "camera.none", camera_not_online: "camera.offline",
  command_unknown: "site.old", command_expired: "site.silent", publications_full: "site.full", edge_stopping: "site.stopping",
  codec_not_playable: "codec", video_b_frames: "codec", video_not_live: "codec", video_codec_missing: "codec",
  hub_stopping: "hub.stopping", video_hub_restarted: "hub.stopping", request_cancelled: "hub.stopping", video_request_ended: "hub.timeout",
  video_viewers_full: "hub.full", video_session_unknown: "hub.forgot", video_camera_unknown: "camera.none", incident_unknown: "incident.none",
  video_edge_unknown: "site.none", video_edge_offline: "site.offline", video_edge_silent: "site.silent", video_edge_slow: "site.slow",
  video_offer_invalid: "browser", video_codec_changed: "camera.coding", video_time_limit: "over",
  video_viewer_ended: "elsewhere", video_viewer_closed: "elsewhere", video_nobody_watches: "elsewhere",
  video_viewer_lost: "line.lost", video_viewer_unreachable: "line.never",
  video_upstream_replaced: "site.stopping", video_edge_ended: "site.stopping",
};

/** Why the video of an edge ended, by the code of its own cause. */
const upstream: Record<string, Code> = { session_lost: "site.lost", session_no_frames: "camera.silent", video_b_frames: "camera.bframes" };

/** The cause within a cause. */
function inner(c: Coded): Coded | null {
  const { cause = "", cause_code: code = "", ...rest } = c.params ?? {};
  if (!cause) return null;
  const params = Object.entries(rest).flatMap(([name, value]) => (name.startsWith("cause_") ? [[name.slice("cause_".length), value]] : []));
  return { code, params: Object.fromEntries(params), text: cause };
}

/** What a code means for a tile; its own words where the tile has none. */
export function causeOfCode(c: Coded): Cause {
  const of = inner(c);
  if (c.code === "video_upstream_ended") {
    const n = Number(of?.params?.["seconds"]);
    return { code: upstream[of?.code ?? ""] ?? "site.stopping", ...(n > 0 && { n }) };
  }
  const code = of?.code === "device_not_heard" ? "camera.unknown" : codes[c.code];
  if (!code) return { code: "other", coded: c };
  if (code === "codec") return { code, ...(c.code !== "video_codec_missing" && { coded: c }) };
  const n = Number(c.params?.["count"] ?? c.params?.["seconds"]);
  const reason = code === "browser" ? c.params?.["reason"] : undefined;
  return { code, ...(n > 0 && { n }), ...(reason && { detail: reason }), ...(of && { coded: of }) };
}

/** Why the hub, or the relay that was asked, did not begin a view. */
export function causeOfAnswer(e: ApiError, at: Address | null = null): Cause {
  if (at && at.credential !== null) {
    // The hub says with a new credential whether the session is over.
    if (e.status === 401) return { code: "relay.expired" };
    if (e.status === 0 && !e.timeout) return { code: "relay.unreachable", detail: new URL(at.url).host };
  }
  switch (e.status) {
    case 0:
      return { code: e.timeout ? "hub.timeout" : "hub.unreachable" };
    case 401:
      return { code: "session" };
    case 403:
      return { code: "role" };
  }
  if (e.reason) return causeOfCode(e.reason);
  if (e.status === 406) return { code: "codec" };
  if (e.detail) return { code: "other", detail: e.detail };
  return e.status >= 500 ? { code: "hub.error" } : { code: "other", detail: e.title };
}

/** Why the hub ended a view. */
export function causeOfEnd(e: ApiError): Cause {
  if (e.reason) return causeOfCode(e.reason);
  return e.detail ? { code: "other", detail: e.detail } : { code: "line.closed" };
}

/** What somebody said No to, and not what broke. */
const refusals: Partial<Record<Code, "for good" | "for now">> = {
  session: "for good", role: "for good", "camera.none": "for good", "incident.none": "for good", codec: "for good", "camera.bframes": "for good", "site.none": "for good", "site.old": "for good",
  "hub.full": "for now", "site.full": "for now", "site.offline": "for now", "camera.offline": "for now", "camera.unknown": "for now", "http.full": "for now", other: "for now",
};

/** Whether a cause is a refusal, and whether asking again later can help. */
export const refusal = (c: Cause): "for good" | "for now" | null => refusals[c.code] ?? null;
