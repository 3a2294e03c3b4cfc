// Times of a clip. Pure.
import type { EvidenceFile } from "../../api/types";

type Clip = NonNullable<EvidenceFile["clip"]>;

/** The clips of an incident that the hub has, in the order in which they were recorded. */
export const clipsOf = (files: readonly EvidenceFile[]): EvidenceFile[] =>
  files.filter((f) => f.content_type.startsWith("video/")).sort((a, b) => (a.time < b.time ? -1 : 1));

/** How long a clip is, in seconds. */
export const secondsOf = (c: Clip): number => Math.max(0, (Date.parse(c.to) - Date.parse(c.from)) / 1000);

/** How long one frame is shown, in seconds: the time that has frames, by their number. */
export function frameOf(c: Clip): number {
  const gaps = (c.gaps ?? []).reduce((sum, g) => sum + (Date.parse(g.to) - Date.parse(g.from)) / 1000, 0);
  return Math.max(0.001, (secondsOf(c) - gaps) / Math.max(1, c.frames));
}

/** Where in the video a moment is, in seconds; null if it is outside. */
export function placeOf(c: Clip, at: string): number | null {
  const s = (Date.parse(at) - Date.parse(c.from)) / 1000;
  return s >= 0 && s <= secondsOf(c) ? s : null;
}

/** The moment (ms since 1970) that a place of the video shows. */
export const momentOf = (c: Clip, at: number): number => Date.parse(c.from) + at * 1000;

/** Where the next frame is seen, or the one before: in its middle, so that rounding does not miss it. shown is the time at
 * which the frame that is seen begins, in seconds. */
export function stepFrom(c: Clip, shown: number, by: 1 | -1): number {
  const frame = frameOf(c);
  return Math.max(0, Math.min(secondsOf(c) - frame / 2, shown + by * frame + frame / 2));
}
