// Devices and incidents as the map's sources have them, and what changed in them. Pure.
//
// What stands at the same place is one feature: most incidents stand where their camera stands, and ten
// thousand symbols on top of one another would tell nothing. So there are never more features than
// places, devices and incidents are gathered into the same clusters, and a flag never lies over what it
// does not belong to.
import type { Feature } from "geojson";
import type { GeoJSONSourceDiff } from "maplibre-gl";
import { type Device, type Incident, deviceKey, rankOf } from "../api/types";
import { deviceTitle } from "../i18n/names";
import { sector } from "./geo";

/** A feature and what it was made of: as long as that is the same, so is the feature. */
interface Made {
  from: unknown;
  of?: unknown; // the very thing it was made of last
  feature: Feature;
}
export type Features = Map<string, Made>;

/** How much an incident's symbol counts: 0 closed, 1..4 acknowledged, 11..14 open. */
export function weight(i: Incident): number {
  if (i.state === "closed") return 0;
  return rankOf(i.severity) + (i.state === "open" ? 11 : 1);
}

/** The name of the symbol for a weight. */
export const symbolOf = (w: number): string =>
  w === 0 ? "incident-closed" : `incident-${["minor", "moderate", "severe", "extreme"][(w % 10) - 1]}${w > 10 ? "" : "-taken"}`;

/** The name of the symbol for a device's code; see codeOf. */
export const deviceSymbols: Record<number, string> = { 1: "camera-online", 2: "camera-unknown", 3: "camera-offline", 11: "sensor-online", 12: "sensor-unknown", 13: "sensor-offline" };

/** What a device looks like, as a number: a cluster with one device in it can keep it. */
export const codeOf = (d: Device): number => (d.kind === "camera" ? 1 : 11) + { online: 0, unknown: 1, offline: 2 }[d.state];

const keys = new WeakMap<object, string>(); // of places; making one costs more than all the rest

/** A place's name, exact to a tenth of a metre or so. */
export function placeKey(p: { lat: number; lon: number }): string {
  let key = keys.get(p);
  if (key === undefined) keys.set(p, (key = `${p.lat.toFixed(6)},${p.lon.toFixed(6)}`));
  return key;
}

/** Things by the place that they stand at. Those without a place are left out. */
export class Places<T extends { place: Device["place"] }> {
  #known = new Map<string, T>();
  #at = new Map<string, T[]>();

  /** first says what is to lead at a place. */
  constructor(private readonly id: (item: T) => string, private readonly first: (item: T) => number = () => 0) {}

  at(key: string): readonly T[] {
    return this.#at.get(key) ?? [];
  }

  /** Takes in a list. Says at which places anything is different; the others cost one comparison a thing. */
  update(list: readonly T[]): Set<string> {
    const touched = new Set<string>();
    const before = this.#known.size;
    let kept = 0;
    for (const item of list) {
      const id = this.id(item);
      const had = this.#known.get(id);
      if (had) kept += 1;
      if (had === item) continue;
      if (had) this.#take(had, touched);
      this.#known.set(id, item);
      if (!item.place) continue;
      const key = placeKey(item.place);
      touched.add(key);
      this.#at.set(key, [...this.at(key), item].sort((a, b) => this.first(b) - this.first(a)));
    }
    if (kept < before) {
      const now = new Set(list.map(this.id));
      for (const [id, gone] of this.#known) {
        if (now.has(id)) continue;
        this.#known.delete(id);
        this.#take(gone, touched);
      }
    }
    return touched;
  }

  /** The places where something stands. */
  keys(): Set<string> { return new Set(this.#at.keys()); }

  #take(item: T, touched: Set<string>): void {
    if (!item.place) return;
    const key = placeKey(item.place);
    touched.add(key);
    const rest = this.at(key).filter((x) => x !== item);
    if (rest.length) this.#at.set(key, rest);
    else this.#at.delete(key);
  }
}

/**
 * Makes the features of some places anew in what there is, and says what that changed; null for nothing.
 * weight is that of the incident that leads, -1 where there is none; code that of the only device.
 */
export function remake(features: Features, places: Iterable<string>, devices: Places<Device>, incidents: Places<Incident>): GeoJSONSourceDiff | null {
  const add: Feature[] = [];
  const remove: string[] = [];
  for (const key of places) {
    const here = devices.at(key);
    const shown = incidents.at(key);
    const first = shown[0];
    const at = (here[0] ?? first)?.place;
    const had = features.get(key);
    if (!at) {
      if (features.delete(key)) remove.push(key);
      continue;
    }
    const open = shown.filter((i) => i.state !== "closed").length;
    const properties = {
      key, devices: here.length, code: here.length === 1 ? codeOf(here[0]!) : 0, bad: here.filter((d) => d.state === "offline").length,
      name: here.slice(0, 3).map((d) => deviceTitle(d)).join("\n"), weight: first ? weight(first) : -1, count: open || shown.length,
    };
    const from = Object.values(properties).join(" ");
    if (had?.from === from) continue;
    if (had) remove.push(key);
    const feature: Feature = { type: "Feature", geometry: { type: "Point", coordinates: [at.lon, at.lat] }, properties };
    features.set(key, { from, feature });
    add.push(feature);
  }
  return add.length || remove.length ? { add, remove } : null;
}

/** The cameras' fields of view. */
export function sectorFeatures(devices: readonly Device[], before: Features): Features {
  const out: Features = new Map();
  for (const d of devices) {
    if (d.kind !== "camera" || !d.place) continue;
    const key = deviceKey(d);
    const p = d.place;
    const last = before.get(key);
    if (last?.of === d) {
      out.set(key, last);
      continue;
    }
    const from = `${d.state} ${p.lat} ${p.lon} ${p.heading} ${p.fov} ${p.range}`;
    if (last?.from === from) {
      last.of = d;
      out.set(key, last);
      continue;
    }
    const ring = sector(p);
    if (!ring) continue;
    out.set(key, { from, of: d, feature: { type: "Feature", geometry: { type: "Polygon", coordinates: [ring] }, properties: { key, state: d.state } } });
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
