// The formats in the reader's language; reactive like t().
import { prefs } from "../state/prefs.svelte";
import * as f from "./format";

type At = string | number | Date;

export const fmt = {
  time: (at: At) => f.clockTime(prefs.language, at),
  minute: (at: At) => f.clockMinute(prefs.language, at),
  day: (at: At) => f.day(prefs.language, at),
  shortDay: (at: At) => f.shortDay(prefs.language, at),
  moment: (at: At) => f.moment(prefs.language, at),
  brief: (at: At, now: number) => f.brief(prefs.language, at, now),
  zone: (at: number) => f.zoneName(prefs.language, at),
  span: (ms: number) => f.span(prefs.language, ms),
  spanLong: (ms: number) => f.span(prefs.language, ms, "long"),
  distance: (metres: number) => f.distance(prefs.language, metres),
  number: (value: number, digits?: number) => f.number(prefs.language, value, digits),
  quantity: (value: number, unit?: string, apart?: number) => f.quantity(prefs.language, value, unit, apart),
  setting: (value: number, unit?: string) => f.setting(prefs.language, value, unit),
  marks: (values: readonly number[], unit?: string) => f.marks(prefs.language, values, unit),
  bytes: (n: number) => f.bytes(prefs.language, n),
  position: f.position,
};
