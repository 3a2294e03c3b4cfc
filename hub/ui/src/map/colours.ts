// The map's colours are the console's own: read from tokens.css as the theme has them now.
const names = [
  "land", "water", "building", "park", "street", "street-text", "ground", "surface", "raised", "line", "line-strong",
  "text", "text-dim", "text-faint", "accent", "accent-ground", "on-accent", "good", "bad", "warn",
  "extreme", "severe", "moderate", "minor", "extreme-ground", "severe-ground", "moderate-ground", "minor-ground",
  "on-extreme", "on-severe", "on-moderate", "on-minor",
] as const;

export type Colours = Record<(typeof names)[number], string>;

export function readColours(): Colours {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(names.map((n) => [n, style.getPropertyValue(`--${n}`).trim() || "#888888"])) as Colours;
}

function channels(hex: string): [number, number, number] {
  const short = /^#([0-9a-f])([0-9a-f])([0-9a-f])$/i.exec(hex);
  const long = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})/i.exec(hex);
  const parts = short ? short.slice(1).map((c) => c + c) : (long?.slice(1) ?? ["88", "88", "88"]);
  return parts.map((p) => parseInt(p, 16)) as [number, number, number];
}

/** A colour between two: share 0 is a, 1 is b. */
export function mix(a: string, b: string, share: number): string {
  const from = channels(a);
  const to = channels(b);
  return `#${from.map((v, i) => Math.round(v + (to[i]! - v) * share).toString(16).padStart(2, "0")).join("")}`;
}
