// What a curve is drawn from. Pure.
import type { LastReading } from "../../api/types";
import type { Series } from "./previews.svelte";

/** Times in s, and for each the lowest, the highest and the mean value; null where nothing was heard. */
export type Points = [number[], (number | null)[], (number | null)[], (number | null)[]];

/**
 * A series as uPlot takes it. step is the length in ms that each of its values stands for; where
 * nothing was heard for much longer than usual there is a gap, not a line that claims values. last, the
 * newest of all, belongs to it unless it is from before from, in ms.
 */
export function pointsOf(s: Series, step: number, last?: LastReading | null, from = 0): Points {
  const out: Points = [[], [], [], []];
  const put = (at: number, low: number | null, high: number | null, mean: number | null) => {
    out[0].push(at / 1000);
    out[1].push(low);
    out[2].push(high);
    out[3].push(mean);
  };
  const gaps = s.at.slice(1).map((at, i) => at - s.at[i]!).sort((a, b) => a - b);
  const usual = gaps[gaps.length >> 1] ?? step;
  const silent = Math.max(3 * step, 3 * usual);
  let before: number | undefined;
  for (let i = 0; i < s.at.length; i += 1) {
    const at = s.at[i]!;
    if (before !== undefined && at - before > silent) put(before + 1, null, null, null);
    put(at, s.low[i]!, s.high[i]!, s.mean[i]!);
    before = at;
  }
  const newest = last && last.quality !== "bad" ? Date.parse(last.time) : 0;
  if (last && newest > (before ?? from)) {
    if (before !== undefined && newest - before > silent) put(before + 1, null, null, null);
    put(newest, last.value, last.value, last.value);
  }
  return out;
}

/** The lowest, the highest and the newest value; null without any. */
export function summary(p: Points): { low: number; high: number; last: number; at: number } | null {
  let low = Infinity;
  let high = -Infinity;
  let last = -1;
  p[0].forEach((_, i) => {
    const a = p[1][i];
    const b = p[2][i];
    if (a === null || a === undefined || b === null || b === undefined) return;
    low = Math.min(low, a);
    high = Math.max(high, b);
    last = i;
  });
  return last < 0 ? null : { low, high, last: p[3][last]!, at: p[0][last]! * 1000 };
}
