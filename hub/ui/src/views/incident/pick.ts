// Which cameras to play for an incident.
import type { Ranked } from "../../api/types";

export const most = 4;

const key = (r: { edge: string; device: string }): string => `${r.edge}/${r.device}`;

/** The cameras that see the place and are online, four at most, in the hub's order. */
export function best(ranked: readonly Ranked[]): Ranked[] {
  return ranked.filter((r) => r.sees && r.state === "online").slice(0, most);
}

/** Cameras that do not see the place, for the tiles that are left: what happens may move on to where they look. */
export function others(ranked: readonly Ranked[], playing: readonly string[]): Ranked[] {
  return ranked.filter((r) => !r.sees && r.state === "online" && !playing.includes(key(r))).slice(0, Math.max(0, most - playing.length));
}

/** The cameras that play after one was chosen or let go: in the order of the choice, the oldest makes room. */
export function toggle(playing: readonly string[], r: Ranked): string[] {
  if (playing.includes(key(r))) return playing.filter((k) => k !== key(r));
  return [...playing, key(r)].slice(-most);
}

export { key as cameraKey };
