// Places on the ground. Degrees of WGS-84, metres; exact enough over the few kilometres of a site.
import type { Place } from "../api/types";

export interface Point {
  lat: number;
  lon: number;
}

/** west, south, east, north */
export type Box = [number, number, number, number];

const metresPerDegree = 111_320;
const radians = Math.PI / 180;

/** Where one comes to who goes so many metres from a place; bearing clockwise from north. */
export function ahead(from: Point, bearing: number, metres: number): [lon: number, lat: number] {
  const lat = from.lat + (Math.cos(bearing * radians) * metres) / metresPerDegree;
  const lon = from.lon + (Math.sin(bearing * radians) * metres) / (metresPerDegree * Math.max(0.01, Math.cos(from.lat * radians)));
  return [lon, lat];
}

/** What a camera sees, as a closed ring; null when its angle or range is not known. The hub leaves a heading of 0, north, out. */
export function sector(at: Place): [number, number][] | null {
  const { heading = 0, fov, range } = at;
  if (!fov || !range || fov < 0 || range < 0) return null;
  const whole = fov >= 360;
  const steps = Math.max(4, Math.ceil(Math.min(fov, 360) / 6));
  const ring: [number, number][] = whole ? [] : [[at.lon, at.lat]];
  for (let i = 0; i <= steps; i++) ring.push(ahead(at, heading - fov / 2 + (fov * i) / steps, range));
  ring.push(ring[0]!);
  return ring;
}

/** The smallest box around places; null around none. */
export function boxAround(places: Iterable<Point>): Box | null {
  let box: Box | null = null;
  for (const { lat, lon } of places) {
    if (!box) box = [lon, lat, lon, lat];
    else box = [Math.min(box[0], lon), Math.min(box[1], lat), Math.max(box[2], lon), Math.max(box[3], lat)];
  }
  return box;
}

export function within(p: Point, box: Box): boolean {
  return p.lon >= box[0] && p.lon <= box[2] && p.lat >= box[1] && p.lat <= box[3];
}

/** Metres per pixel of a map with tiles of 512 pixels. */
export function metresPerPixel(lat: number, zoom: number): number {
  return (2 * Math.PI * 6_378_137 * Math.cos(lat * radians)) / (512 * 2 ** zoom);
}

const mercator = (lat: number) => Math.log(Math.tan(Math.PI / 4 + (lat * radians) / 2)) / (2 * Math.PI);
const latitude = (y: number) => (2 * Math.atan(Math.exp(y * 2 * Math.PI)) - Math.PI / 2) / radians;

/** px that stay free inside a map's edges */
export interface Margins {
  top: number;
  side: number;
  bottom: number;
}

/** The view in which a box fills a map of so many pixels up to its margins, not nearer than a zoom. */
export function viewOf(box: Box, width: number, height: number, m: Margins, nearest: number): Point & { zoom: number } {
  const wide = (box[2] - box[0]) / 360;
  const high = mercator(box[3]) - mercator(box[1]);
  const zoom = Math.min(nearest, Math.log2(Math.max(1, width - 2 * m.side) / 512 / wide), Math.log2(Math.max(1, height - m.top - m.bottom) / 512 / high));
  const middle = (mercator(box[1]) + mercator(box[3])) / 2 + (m.top - m.bottom) / 2 / (512 * 2 ** zoom);
  return { lat: latitude(middle), lon: (box[0] + box[2]) / 2, zoom };
}

/** The box of a view, inside its margins. */
export function boxOf(v: Point & { zoom: number }, width: number, height: number, m: Margins): Box {
  const world = 512 * 2 ** v.zoom;
  const y = mercator(v.lat);
  const x = ((width / 2 - m.side) / world) * 360;
  return [v.lon - x, latitude(y - (height / 2 - m.bottom) / world), v.lon + x, latitude(y + (height / 2 - m.top) / world)];
}

/** The longest of 1, 2 or 5 times a power of ten, in metres, that is drawn in at most so many pixels. */
export function scaleBar(perPixel: number, most: number): { metres: number; pixels: number } {
  const room = perPixel * most;
  const power = 10 ** Math.floor(Math.log10(room));
  const metres = [5, 2, 1].map((n) => n * power).find((m) => m <= room) ?? power;
  return { metres, pixels: Math.round(metres / perPixel) };
}

/** "30.92030,120.93050,17" as an address has it; null if it is none. */
export function parseView(text: string | null): { lat: number; lon: number; zoom: number } | null {
  const parts = (text ?? "").split(",").map((p) => (p.trim() === "" ? NaN : Number(p)));
  const [lat, lon, zoom = 17] = parts;
  if (lat === undefined || lon === undefined || parts.length > 3 || !parts.every(Number.isFinite)) return null;
  if (Math.abs(lat) > 85 || Math.abs(lon) > 180) return null;
  return { lat, lon, zoom: Math.min(21, Math.max(2, zoom)) };
}

export function formatView(v: { lat: number; lon: number; zoom: number }): string {
  return `${v.lat.toFixed(5)},${v.lon.toFixed(5)},${Number(v.zoom.toFixed(2))}`;
}
