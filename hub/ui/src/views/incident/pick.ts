// Which cameras to play for an incident.
import type { Ranked } from "../../api/types";

export const most = 4;

const key = (r: { edge: string; device: string }): string => `${r.edge}/${r.device}`;

/**
 * The best four in the hub's order. Cameras without a picture are passed over. Those that do not see
 * the place fill up: what happens moves on, and they stand where it may move to.
 */
export function best(ranked: readonly Ranked[]): Ranked[] {
  return ranked.filter((r) => r.state === "online").slice(0, most);
}

/** The cameras that play after one was chosen or let go: in the order of the choice, the oldest makes room. */
export function toggle(playing: readonly string[], r: Ranked): string[] {
  if (playing.includes(key(r))) return playing.filter((k) => k !== key(r));
  return [...playing, key(r)].slice(-most);
}

export { key as cameraKey };
