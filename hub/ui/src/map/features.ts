// Devices and incidents as the map's sources have them, and what changed in them. Pure.
//
// Incidents at the same place are one spot: most incidents stand where their camera stands, and ten
// thousand symbols on top of one another would tell nothing. So there are never more features than
// places.
import type { Feature } from "geojson";
import type { GeoJSONSourceDiff } from "maplibre-gl";
import { type Device, type Incident, deviceKey, rankOf } from "../api/types";
import { named } from "../i18n/words";
import { sector } from "./geo";

/** A feature and what it was made of: as long as that is the same, so is the feature. */
interface Made {
  from: unknown;
  feature: Feature;
}
export type Features = Map<string, Made>;

/** Incidents at one place, the one that matters most first. */
export interface Spot {
  key: string;
  lat: number;
  lon: number;
  incidents: Incident[];
}

/** How much an incident's symbol counts: 0 closed, 1..4 acknowledged, 11..14 open. */
export function weight(i: Incident): number {
  if (i.state === "closed") return 0;
  return rankOf(i.severity) + (i.state === "open" ? 11 : 1);
}

/** The name of the symbol for a weight. */
export const symbolOf = (w: number): string =>
  w === 0 ? "incident-closed" : `incident-${["minor", "moderate", "severe", "extreme"][(w % 10) - 1]}${w > 10 ? "" : "-taken"}`;

/** Groups incidents by place, to a tenth of a metre or so. Incidents without a place are left out. */
export function spotsOf(incidents: readonly Incident[]): Map<string, Spot> {
  const spots = new Map<string, Spot>();
  for (const i of incidents) {
    if (!i.place) continue;
    const key = `${i.place.lat.toFixed(6)},${i.place.lon.toFixed(6)}`;
    const spot = spots.get(key);
    if (!spot) spots.set(key, { key, lat: i.place.lat, lon: i.place.lon, incidents: [i] });
    else if (weight(i) > weight(spot.incidents[0]!)) spot.incidents.unshift(i);
    else spot.incidents.push(i);
  }
  return spots;
}

/** Spots as features. before: those of the last time; what has not changed is taken over. */
export function spotFeatures(spots: Map<string, Spot>, before: Features): Features {
  const out: Features = new Map();
  for (const [key, spot] of spots) {
    const first = spot.incidents[0]!;
    const open = spot.incidents.filter((i) => i.state !== "closed").length;
    const shown = open || spot.incidents.length;
    const from = `${first.id} ${weight(first)} ${shown}`;
    const had = before.get(key);
    if (had?.from === from) {
      out.set(key, had);
      continue;
    }
    const properties = { key, id: first.id, weight: weight(first), count: shown };
    out.set(key, { from, feature: { type: "Feature", geometry: { type: "Point", coordinates: [spot.lon, spot.lat] }, properties } });
  }
  return out;
}

export function deviceFeatures(devices: readonly Device[], before: Features): Features {
  const out: Features = new Map();
  for (const d of devices) {
    if (!d.place) continue;
    const key = deviceKey(d);
    const from = `${d.kind} ${d.state} ${d.place.lat} ${d.place.lon}`;
    const had = before.get(key);
    if (had?.from === from) {
      out.set(key, had);
      continue;
    }
    const properties = { key, kind: d.kind, state: d.state, name: named(d.name), bad: d.state === "offline" ? 1 : 0 };
    out.set(key, { from, feature: { type: "Feature", geometry: { type: "Point", coordinates: [d.place.lon, d.place.lat] }, properties } });
  }
  return out;
}

/** The cameras' fields of view. */
export function sectorFeatures(devices: readonly Device[], before: Features): Features {
  const out: Features = new Map();
  for (const d of devices) {
    if (d.kind !== "camera" || !d.place) continue;
    const key = deviceKey(d);
    const p = d.place;
    const from = `${d.state} ${p.lat} ${p.lon} ${p.heading} ${p.fov} ${p.range}`;
    const had = before.get(key);
    if (had?.from === from) {
      out.set(key, had);
      continue;
    }
    const ring = sector(p);
    if (!ring) continue;
    out.set(key, { from, feature: { type: "Feature", geometry: { type: "Polygon", coordinates: [ring] }, properties: { key, state: d.state } } });
  }
  return out;
}

/** What turns one set of features into another; null when nothing does. */
export function difference(before: Features, after: Features): GeoJSONSourceDiff | null {
  const add: Feature[] = [];
  const remove: string[] = [];
  for (const [key, made] of after) {
    const had = before.get(key);
    if (had === made) continue;
    if (had) remove.push(key);
    add.push(made.feature);
  }
  for (const key of before.keys()) if (!after.has(key)) remove.push(key);
  return add.length || remove.length ? { add, remove } : null;
}
