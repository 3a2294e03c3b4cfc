// What of a sensor's readings belongs to an incident. Nothing here draws.
import type { Device, Incident, Reading } from "../../api/types";

const least = 30 * 60_000; // ms before and after

/** The time that is shown: as long before and after as it lasted, half an hour at least. ms. */
export function around(opened: number, ended: number | null, now: number): { from: number; to: number } {
  const room = Math.max(least, Math.min((ended ?? now) - opened, 6 * 3_600_000));
  return { from: opened - room, to: Math.min(now, (ended ?? now) + room) };
}

/** The limit that was crossed, from the incident or from the rule as it is now; null if there is none. */
export function limitOf(i: Incident, device: Device | undefined): number | null {
  if (i.limit !== undefined && i.limit !== null) return i.limit;
  const rule = device?.rules?.find((r) => r.name === i.rule);
  return rule?.value ?? null;
}

/** Times in s and values, in order, each time once; the newest reading is added while it goes on. */
export function points(readings: readonly Reading[], newest: { time: string; value: number; quality: string } | null, goesOn: boolean): [number[], number[]] {
  const all = readings.filter((r) => r.quality !== "bad").map((r) => [Date.parse(r.time) / 1000, r.value] as const);
  const end = all.reduce((a, [at]) => Math.max(a, at), -Infinity);
  if (goesOn && newest && newest.quality !== "bad" && all.length > 0 && Date.parse(newest.time) / 1000 > end) all.push([Date.parse(newest.time) / 1000, newest.value]);
  all.sort((a, b) => a[0] - b[0]);
  const xs: number[] = [];
  const ys: number[] = [];
  for (const [x, y] of all) {
    if (xs.at(-1) === x) ys[ys.length - 1] = y;
    else {
      xs.push(x);
      ys.push(y);
    }
  }
  return [xs, ys];
}
