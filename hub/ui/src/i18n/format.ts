// Times, spans, distances and numbers by Intl. Everything takes the language, so that it can be
// tested; components use formats.svelte.ts, which knows the reader's.
import type { Language } from "./messages";

type Zone = string | undefined; // IANA name; undefined: the machine's own

const calendars = new Map<string, Intl.DateTimeFormat>();

function dates(language: Language, zone: Zone, o: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${language}|${zone}|${o.year}|${o.month}|${o.day}|${o.hour}|${o.minute}|${o.second}|${o.timeZoneName}`;
  let f = calendars.get(key);
  if (!f) {
    f = new Intl.DateTimeFormat(language === "en" ? "en-GB" : language, { ...o, timeZone: zone, hourCycle: "h23" });
    calendars.set(key, f);
  }
  return f;
}

const figures = new Map<string, Intl.NumberFormat>();

// Making a formatter costs a hundred times what using it does, and a list of ten thousand rows uses many.
function figure(language: Language, o: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = `${language}|${o.unit}|${o.unitDisplay}|${o.minimumFractionDigits}|${o.maximumFractionDigits}|${o.useGrouping}`;
  let f = figures.get(key);
  if (!f) {
    f = new Intl.NumberFormat(language, o);
    figures.set(key, f);
  }
  return f;
}

const timeOf = (at: string | number | Date): Date => (at instanceof Date ? at : new Date(at));

/** 14:03:27 */
export function clockTime(language: Language, at: string | number | Date, zone?: Zone): string {
  return dates(language, zone, { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(timeOf(at));
}

/** 14:03 */
export function clockMinute(language: Language, at: string | number | Date, zone?: Zone): string {
  return dates(language, zone, { hour: "2-digit", minute: "2-digit" }).format(timeOf(at));
}

/** 3 May 2026, or the same as Chinese writes it */
export function day(language: Language, at: string | number | Date, zone?: Zone): string {
  return dates(language, zone, { year: "numeric", month: language === "en" ? "short" : "long", day: "numeric" }).format(timeOf(at));
}

/** The day without its year: 3 May. */
export function shortDay(language: Language, at: string | number | Date, zone?: Zone): string {
  return dates(language, zone, { month: language === "en" ? "short" : "long", day: "numeric" }).format(timeOf(at));
}

/** Date and time to the second, exact: for hovering and for records. */
export function moment(language: Language, at: string | number | Date, zone?: Zone): string {
  return `${day(language, at, zone)} ${clockTime(language, at, zone)}`;
}

/** The time if it was today, else the day and the time to the minute. */
export function brief(language: Language, at: string | number | Date, now: number, zone?: Zone): string {
  if (day(language, at, zone) === day(language, now, zone)) return clockTime(language, at, zone);
  return `${shortDay(language, at, zone)} ${clockMinute(language, at, zone)}`;
}

/** The zone as people know it: GMT+8, CET. */
export function zoneName(language: Language, at: number, zone?: Zone): string {
  const found = dates(language, zone, { hour: "2-digit", timeZoneName: "short" }).formatToParts(at);
  return found.find((p) => p.type === "timeZoneName")?.value ?? "";
}

const units: [Intl.NumberFormatOptions["unit"] & string, number][] = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

/** The symbols of SI, after a space that does not break: "m" would be metres. */
const symbols: Record<string, string> = { day: "d", hour: "h", minute: "min", second: "s" };

function unit(language: Language, name: string, value: number, style: "short" | "long"): string {
  if (language === "en" && style === "short") return withUnit(figure(language, {}).format(value), symbols[name]!);
  // Chinese writes it in one way for all purposes.
  return figure(language, { style: "unit", unit: name, unitDisplay: language === "en" ? "long" : "narrow" }).format(value);
}

/** A span in its largest unit, and the next one below ten: 4 s, 12 min, 1 h 20 min, 3 d 4 h. ms, negative counts as 0. */
export function span(language: Language, ms: number, style: "short" | "long" = "short"): string {
  let left = Math.max(0, Math.floor(ms / 1000));
  const i = Math.max(0, units.findIndex(([, size]) => left >= size));
  if (left === 0) return unit(language, "second", 0, style);
  const [name, size] = units[i]!;
  const most = Math.floor(left / size);
  left -= most * size;
  const words = [unit(language, name, most, style)];
  const below = units[i + 1];
  if (below && most < 10 && below[0] !== "second") {
    const n = Math.floor(left / below[1]);
    if (n > 0) words.push(unit(language, below[0], n, style));
  }
  return words.join(language === "en" ? " " : "");
}

/** 23 m, 1.4 km */
export function distance(language: Language, metres: number): string {
  const far = metres >= 1000;
  return figure(language, {
    style: "unit", unit: far ? "kilometer" : "meter", unitDisplay: "short",
    maximumFractionDigits: far && metres < 10_000 ? 1 : 0,
  }).format(far ? metres / 1000 : metres);
}

/** A number with at most so many digits behind the point. */
export function number(language: Language, value: number, digits = 2): string {
  return figure(language, { maximumFractionDigits: digits }).format(value);
}

/** Digits behind the point that a value has at the most, by its unit: no sensor of these knows better. */
const finest: Record<string, number> = { "°C": 1, "%": 1, hPa: 1, dB: 1, lx: 0, ppm: 0 };

/** How many digits behind the point tell something: three figures in all, and not finer than the unit's. */
function telling(value: number, symbol: string): number {
  const size = Math.abs(value);
  if (size === 0 || !Number.isFinite(size)) return 0;
  const three = Math.max(0, 2 - Math.floor(Math.log10(size)));
  return Math.min(three, finest[symbol] ?? (size < 0.001 ? 9 : 3));
}

/**
 * A measured value with its unit as sensors name it ("1" is none): 3.05 m, -17.1 °C, 1013 hPa, 0.034 mm.
 * apart is another value that it must not look the same as, such as the limit that it is above.
 */
export function quantity(language: Language, value: number, symbol = "", apart?: number): string {
  let digits = telling(value, symbol);
  if (apart !== undefined && apart !== value) while (digits < 6 && value.toFixed(digits) === apart.toFixed(digits)) digits += 1;
  return withUnit(written(language, value, 0, digits), symbol);
}

/** A value that a person has set, such as a limit: as it was set. */
export function setting(language: Language, value: number, symbol = ""): string {
  return withUnit(written(language, value, 0, 6), symbol);
}

/** The values at the marks of an axis, all with as many digits as tell them apart. */
export function marks(language: Language, values: readonly number[], symbol = ""): string[] {
  let digits = 0;
  while (digits < 6 && values.some((v) => Math.abs(v * 10 ** digits - Math.round(v * 10 ** digits)) > 1e-6)) digits += 1;
  return values.map((v) => withUnit(written(language, v, digits, digits), symbol));
}

function written(language: Language, value: number, least: number, most: number): string {
  const rounded = Number(value.toFixed(most));
  const o = { minimumFractionDigits: least, maximumFractionDigits: most, useGrouping: "min2" as const }; // 1013 hPa, but 10,130
  return figure(language, o).format(rounded === 0 ? 0 : rounded); // and no -0
}

const withUnit = (text: string, symbol: string): string => (symbol && symbol !== "1" ? `${text}\u00a0${symbol}` : text);

/** 412 B, 1.2 MB */
export function bytes(language: Language, n: number): string {
  const names = ["byte", "kilobyte", "megabyte", "gigabyte"] as const;
  let i = 0;
  while (n >= 1000 && i < names.length - 1) {
    n /= 1000;
    i += 1;
  }
  return figure(language, {
    style: "unit", unit: names[i]!, unitDisplay: "short", maximumFractionDigits: i === 0 || n >= 100 ? 0 : 1,
  }).format(n);
}

/** "31.23041° N, 121.47370° E" in either language; 1e-5 degrees are about a metre. */
export function position(lat: number, lon: number): string {
  return `${Math.abs(lat).toFixed(5)}° ${lat < 0 ? "S" : "N"}, ${Math.abs(lon).toFixed(5)}° ${lon < 0 ? "W" : "E"}`;
}
