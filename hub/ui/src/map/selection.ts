// What is chosen on the map. In addresses it is "device/EDGE/NAME" or "incident/ID".
import type { Device, Incident } from "../api/types";
import { deviceKey } from "../api/types";

export type Selection = { kind: "device"; key: string } | { kind: "incident"; id: string };

export const ofDevice = (d: Device): Selection => ({ kind: "device", key: deviceKey(d) });
export const ofIncident = (i: Incident): Selection => ({ kind: "incident", id: i.id });

export function same(a: Selection | null, b: Selection | null): boolean {
  return formatSelection(a) === formatSelection(b);
}

export function parseSelection(text: string | null): Selection | null {
  const at = (text ?? "").indexOf("/");
  if (!text || at < 0) return null;
  const kind = text.slice(0, at);
  const rest = text.slice(at + 1);
  if (kind === "incident" && rest) return { kind, id: rest };
  if (kind === "device" && /^[^/]+\/[^/]+$/.test(rest)) return { kind, key: rest };
  return null;
}

export function formatSelection(s: Selection | null): string {
  if (!s) return "";
  return s.kind === "device" ? `device/${s.key}` : `incident/${s.id}`;
}
