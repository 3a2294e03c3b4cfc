// Which cameras to play for an incident.
import type { Ranked } from "../../api/types";

export const most = 4;

const key = (r: { edge: string; device: string }): string => `${r.edge}/${r.device}`;

/**
 * The best four in the hub's order. Cameras without a picture are passed over, and so are those that
 * do not see the place as long as any does: a tile that shows something else misleads.
 */
export function best(ranked: readonly Ranked[]): Ranked[] {
  const online = ranked.filter((r) => r.state === "online");
  const seeing = online.filter((r) => r.sees);
  return (seeing.length > 0 ? seeing : online).slice(0, most);
}

/** The cameras that play after one was chosen or let go: in the order of the choice, the oldest makes room. */
export function toggle(playing: readonly string[], r: Ranked): string[] {
  if (playing.includes(key(r))) return playing.filter((k) => k !== key(r));
  return [...playing, key(r)].slice(-most);
}

export { key as cameraKey };
