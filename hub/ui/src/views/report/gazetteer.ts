// Places that have a name: devices, and what the map's layers name. For finding a place by its name, and
// a name for a place.
import type { Feature, Geometry, Position } from "geojson";
import { api } from "../../api/client";
import type { Device } from "../../api/types";
import type { Language } from "../../i18n/messages";
import { deviceTitle, deviceWords } from "../../i18n/names";

export interface Named {
  key: string;
  kind: "camera" | "sensor" | "street" | "other";
  names: string[]; // the first is what it is called, the others find it too
  lat: number;
  lon: number;
  line?: Position[]; // of a street or a river
}

const metresPerDegree = 111_320;

/** Metres between two places that are near each other. */
export function metres(a: { lat: number; lon: number }, b: { lat: number; lon: number }): number {
  const x = (a.lon - b.lon) * Math.cos((a.lat * Math.PI) / 180);
  return Math.hypot(x, a.lat - b.lat) * metresPerDegree;
}

function positions(g: Geometry): Position[] {
  switch (g.type) {
    case "Point": return [g.coordinates];
    case "LineString": case "MultiPoint": return g.coordinates;
    case "Polygon": return g.coordinates[0] ?? [];
    case "MultiLineString": return g.coordinates[0] ?? [];
    case "MultiPolygon": return g.coordinates[0]?.[0] ?? [];
    case "GeometryCollection": return g.geometries[0] ? positions(g.geometries[0]) : [];
  }
}

/** The place that stands for a geometry: a line's middle, an area's middle. */
function middle(g: Geometry): Position | null {
  const all = positions(g);
  if (all.length === 0) return null;
  if (g.type.endsWith("LineString")) return all[all.length >> 1]!;
  const of = (i: number) => {
    const values = all.map((p) => p[i]!);
    return (Math.min(...values) + Math.max(...values)) / 2;
  };
  return [of(0), of(1)];
}

/** Named places out of the features of layers; pieces of the same street are one. */
export function fromFeatures(features: readonly Feature[], language: Language): Named[] {
  const found = new Map<string, Named & { pieces: number }>();
  for (const f of features) {
    const p = f.properties ?? {};
    const own = p[language === "en" ? "name:en" : "name:zh"] ?? p["name"];
    if (typeof own !== "string" || !own || !f.geometry) continue;
    const at = middle(f.geometry);
    if (!at || at.length < 2) continue;
    const line = f.geometry.type.endsWith("LineString");
    const street = line && (p["kind"] === "street" || p["kind"] === "path");
    const key = `${line ? "line" : "spot"} ${own}`;
    const before = found.get(key);
    if (before) {
      if (line && before.line) before.line = [...before.line, [NaN, NaN], ...positions(f.geometry)];
      continue;
    }
    const names = [own, p["name"], p["name:zh"], p["name:en"]].filter((n): n is string => typeof n === "string" && n !== "");
    found.set(key, {
      key, kind: street ? "street" : "other", names: [...new Set(names)], lon: at[0]!, lat: at[1]!, pieces: 1,
      ...(line && { line: positions(f.geometry) }),
    });
  }
  return [...found.values()];
}

export function fromDevices(devices: readonly Device[]): Named[] {
  return devices.flatMap((d) =>
    d.place ? [{ key: `${d.edge}/${d.name}`, kind: d.kind, names: [deviceTitle(d), d.name, deviceWords(d)], lat: d.place.lat, lon: d.place.lon }] : [],
  );
}

/** The places whose name has what is typed: those that begin with it first, streets before devices. */
export function search(all: readonly Named[], typed: string, most = 8): Named[] {
  const words = typed.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [];
  const ranked: [number, Named][] = [];
  for (const n of all) {
    let best = Infinity;
    for (const name of n.names) {
      const low = name.toLocaleLowerCase();
      if (!words.every((w) => low.includes(w))) continue;
      best = Math.min(best, low === typed.toLocaleLowerCase().trim() ? 0 : low.startsWith(words[0]!) ? 1 : 2);
    }
    if (best < Infinity) ranked.push([best * 4 + (n.kind === "street" ? 0 : n.kind === "other" ? 1 : 2), n]);
  }
  ranked.sort((a, b) => a[0] - b[0] || (a[1].names[0]! < b[1].names[0]! ? -1 : 1));
  return ranked.slice(0, most).map(([, n]) => n);
}

/** Metres from a place to a line of positions; NaN parts it. */
function toLine(at: { lat: number; lon: number }, line: Position[]): number {
  const k = Math.cos((at.lat * Math.PI) / 180);
  let best = Infinity;
  for (let i = 1; i < line.length; i += 1) {
    const [ax, ay] = [(line[i - 1]![0]! - at.lon) * k, line[i - 1]![1]! - at.lat];
    const [bx, by] = [(line[i]![0]! - at.lon) * k, line[i]![1]! - at.lat];
    const [dx, dy] = [bx - ax, by - ay];
    const long = dx * dx + dy * dy;
    const part = long > 0 ? Math.min(1, Math.max(0, -(ax * dx + ay * dy) / long)) : 0;
    const d = Math.hypot(ax + part * dx, ay + part * dy);
    if (d < best) best = d; // false for NaN
  }
  return best * metresPerDegree;
}

/** What a place is at or near, and how far away that is; null when nothing with a name is within 300 m. */
export function nearest(all: readonly Named[], at: { lat: number; lon: number }): { name: string; distance: number } | null {
  let best: { name: string; distance: number } | null = null;
  for (const n of all) {
    const distance = n.line ? toLine(at, n.line) : metres(at, n);
    if (distance <= 300 && (!best || distance < best.distance)) best = { name: n.names[0]!, distance };
  }
  return best;
}

/** "30.9201, 120.9302", also with degree signs; null if it is something else. */
export function position(typed: string): { lat: number; lon: number } | null {
  const m = typed.trim().match(/^(-?\d{1,2}(?:\.\d+)?)\s*°?\s*([NS])?\s*[,;，\s]\s*(-?\d{1,3}(?:\.\d+)?)\s*°?\s*([EW])?$/i);
  if (!m) return null;
  const lat = Number(m[1]) * (m[2]?.toUpperCase() === "S" ? -1 : 1);
  const lon = Number(m[3]) * (m[4]?.toUpperCase() === "W" ? -1 : 1);
  return Math.abs(lat) <= 90 && Math.abs(lon) <= 180 ? { lat, lon } : null;
}

interface LayerList { layers: { url: string; too_large?: boolean }[] | null }

/** The features of all layers that the hub has; a layer that cannot be read is passed over. */
export async function features(signal: AbortSignal): Promise<Feature[]> {
  const list = await api.get<LayerList>("/api/v1/map/layers", { signal });
  const all: Feature[] = [];
  for (const layer of list.layers ?? []) {
    if (layer.too_large) continue;
    try {
      const got = await api.get<{ features?: Feature[] }>(layer.url, { signal });
      all.push(...(got.features ?? []).filter((f) => f.properties?.["name"]));
    } catch (error) {
      if (signal.aborted) throw error;
    }
  }
  return all;
}
