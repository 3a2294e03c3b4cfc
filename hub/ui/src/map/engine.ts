// The map itself, without words and without Svelte: MapView.svelte loads this when a map is first
// wanted, and with it everything that is heavy.
//
// What always holds: the style is made once. Afterwards devices, incidents and choices change only
// the data of their sources, by what differs; theme and language change only properties of layers.
import { type GeoJSONSource, type GeoJSONSourceDiff, type LayerSpecification, Map as GL, type MapMouseEvent, setWorkerUrl, type StyleSpecification } from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?url";
import { type Device, type Incident, deviceKey } from "../api/types";
import type { Language } from "../i18n/messages";
import { type Base, loadBase } from "./base";
import { readColours } from "./colours";
import { type Features, Places, codeOf, difference, placeKey, remake, sectorFeatures, weight } from "./features";
import { type Box, type Point, boxAround, sector } from "./geo";
import { type Look, stacked } from "./ground";
import { type Ratio, drawAll } from "./images";
import { fontFaces } from "./labels";
import { aboutIncidents, overlayLayers, overlaySources, separateFrom, touchable } from "./layers";
import { type Selection, ofDevice, ofIncident, same } from "./selection";

export interface View extends Point {
  zoom: number;
}

/** A place on the map and on the screen, px from its upper left corner. */
export interface Spotted extends Point {
  x: number;
  y: number;
}

/** px along the edges that something else covers */
export interface Inset {
  right: number;
  bottom: number;
}

/** What the pointer is over. */
export type Under =
  | { kind: "devices"; here: readonly Device[]; x: number; y: number }
  | { kind: "incidents"; here: readonly Incident[]; x: number; y: number }
  | { kind: "cluster"; devices: number; incidents: number; x: number; y: number };

export interface Options {
  container: HTMLElement;
  language: Language;
  interactive: boolean;
  view: View | null;
  title: string; // of the map, for readers of screens
  still: boolean; // the person prefers reduced motion
  onselect: (s: Selection | null) => void;
  onplace: (p: Spotted) => void;
  /** takes a click on the map as a place; false: it is for what stands there */
  onpick: (p: Spotted) => boolean;
  onhover: (u: Under | null) => void;
  onmove: (v: View, box: Box) => void; // at the end of each movement
  onidle: () => void; // everything that is in sight has been drawn
  onproblem: (what: "base" | "file" | "lost", name: string) => void;
}

const most = 400; // changes that are told one by one; beyond that the whole is given anew

export class Engine {
  readonly map: GL;
  readonly base: Base | null;
  #o: Options;
  #ready = false;
  #places: Features = new Map();
  #sectors: Features = new Map();
  #devices: readonly Device[] = [];
  #incidents: readonly Incident[] = [];
  #devicesAt = new Places<Device>(deviceKey);
  #incidentsAt = new Places<Incident>((i) => i.id, weight);
  #byKey = new Map<string, Device>();
  #marks = "";
  #layers: LayerSpecification[];
  #selection: Selection | null = null;
  #place: Point | null = null;
  #sees: readonly string[] = [];
  #placed: boolean;
  #inset: Inset = { right: 0, bottom: 0 };

  /** Makes a map when what it is drawn on is known; without the hub's files if they cannot be had. */
  static async open(o: Options): Promise<Engine> {
    let base: Base | null = null;
    try {
      base = await loadBase();
      for (const name of base.broken) o.onproblem("file", name);
    } catch {
      o.onproblem("base", "");
    }
    return new Engine(o, base);
  }

  private constructor(o: Options, base: Base | null) {
    this.#o = o;
    this.base = base;
    this.#placed = o.view !== null;
    setWorkerUrl(workerUrl);
    this.#layers = this.#style();
    const style: StyleSpecification = {
      version: 8,
      "font-faces": fontFaces(),
      sources: { ...base?.sources, ...overlaySources(o.interactive) },
      layers: this.#layers,
      transition: { duration: 0, delay: 0 },
    };
    this.map = new GL({
      container: o.container, style, interactive: o.interactive,
      ...(o.view ? { center: [o.view.lon, o.view.lat] as [number, number], zoom: o.view.zoom } : { center: [0, 20] as [number, number], zoom: 2 }),
      minZoom: 2, maxZoom: 21, maxPitch: 0, dragRotate: false, pitchWithRotate: false, touchPitch: false, renderWorldCopies: false,
      attributionControl: false, maplibreLogo: false, fadeDuration: o.still ? 0 : 120, locale: { "Map.Title": o.title },
      localIdeographFontFamily: false, trackResize: true, refreshExpiredTiles: false,
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.keyboard.disableRotation();
    this.#draw();
    this.map.on("styledata", () => this.#start());
    this.map.on("error", (e) => this.#failed(e as unknown as { error?: Error; sourceId?: string }));
    this.map.on("webglcontextlost", () => o.onproblem("lost", ""));
    this.map.on("idle", () => o.onidle());
    this.map.on("moveend", () => o.onmove(this.view, this.box));
    if (o.interactive) this.#listen();
  }

  get view(): View {
    const c = this.map.getCenter();
    return { lat: c.lat, lon: c.lng, zoom: this.map.getZoom() };
  }

  get box(): Box {
    const b = this.map.getBounds();
    return [b.getWest(), b.getSouth(), b.getEast(), b.getNorth()];
  }

  #look(): Look {
    return { colours: readColours(), language: this.#o.language };
  }

  #style(): LayerSpecification[] {
    const look = this.#look();
    const land = { id: "land", type: "background", paint: { "background-color": look.colours.land } } as LayerSpecification;
    return [land, ...stacked(this.base?.ground(look) ?? []), ...overlayLayers(look)];
  }

  #draw(): void {
    const ratio = Math.min(3, Math.max(1, Math.ceil(devicePixelRatio))) as Ratio;
    for (const [name, s] of drawAll(readColours(), ratio)) {
      const { image, ...rest } = s;
      if (this.map.hasImage(name)) this.map.updateImage(name, image);
      else this.map.addImage(name, image, rest);
    }
  }

  #start(): void {
    if (this.#ready) return;
    this.#ready = true;
    for (const name of ["places", "sectors"] as const) this.#show(name, {});
    this.#mark();
    this.#o.onmove(this.view, this.box);
  }

  #failed(e: { error?: Error; sourceId?: string }): void {
    console.warn("map", e.sourceId ?? "", e.error?.message ?? e);
    if (e.sourceId?.startsWith("layer:")) this.#o.onproblem("file", `${e.sourceId.slice(6)}.geojson`);
    else if (e.sourceId === "base") this.#o.onproblem("file", "base.pmtiles");
  }

  /** Takes on the document's theme and a language. */
  restyle(language: Language): void {
    this.#o.language = language;
    const before = new Map(this.#layers.map((l) => [l.id, l]));
    this.#layers = this.#style();
    this.#draw();
    for (const layer of this.#layers) {
      for (const part of ["paint", "layout"] as const) {
        const old = (before.get(layer.id)?.[part as "paint"] ?? {}) as Record<string, unknown>;
        for (const [name, value] of Object.entries((layer[part as "paint"] ?? {}) as Record<string, unknown>)) {
          if (JSON.stringify(old[name]) === JSON.stringify(value)) continue;
          if (part === "paint") this.map.setPaintProperty(layer.id, name as never, value as never, { validate: false });
          else this.map.setLayoutProperty(layer.id, name as never, value as never, { validate: false });
        }
      }
    }
    this.#arrange(this.#devicesAt.keys()); // devices may have a name in this language
  }

  setDevices(list: readonly Device[]): void {
    this.#devices = list;
    this.#byKey = new Map(list.map((d) => [deviceKey(d), d]));
    const sectors = sectorFeatures(list, this.#sectors);
    const change = difference(this.#sectors, sectors);
    this.#sectors = sectors;
    this.#show("sectors", change);
    this.#arrange(this.#devicesAt.update(list));
  }

  setIncidents(list: readonly Incident[]): void {
    this.#incidents = list;
    this.#arrange(this.#incidentsAt.update(list));
  }

  #arrange(touched: Set<string>): void {
    this.#show("places", remake(this.#places, touched, this.#devicesAt, this.#incidentsAt));
    this.#mark();
  }

  /** Tells a source what has changed; before the map is ready everything waits for its start. */
  #show(name: "places" | "sectors", change: GeoJSONSourceDiff | null): void {
    const source = this.#ready && change ? this.map.getSource<GeoJSONSource>(name) : undefined;
    if (!source || !change) return;
    const now = name === "places" ? this.#places : this.#sectors;
    const size = (change.add?.length ?? now.size) + (change.remove?.length ?? 0);
    const done = !change.add || size > most
      ? source.setData({ type: "FeatureCollection", features: [...now.values()].map((m) => m.feature) })
      : source.updateData(change);
    done.catch((error: unknown) => console.warn("map", name, error));
  }

  /** What is chosen, what place is asked about, and the cameras (by key) that see it. */
  setMarks(selection: Selection | null, place: Point | null, sees: readonly string[]): void {
    this.#selection = selection;
    this.#place = place;
    this.#sees = sees;
    this.#mark();
  }

  #mark(): void {
    if (!this.#ready) return;
    const features: GeoJSON.Feature[] = [];
    const add = (mark: string, geometry: GeoJSON.Geometry, looks = {}) => features.push({ type: "Feature", properties: { mark, ...looks }, geometry });
    const chosen = this.#thing(this.#selection);
    const at = chosen?.place;
    if (at) add(this.#selection!.kind, { type: "Point", coordinates: [at.lon, at.lat] }, { key: placeKey(at), ...("severity" in chosen ? { weight: weight(chosen) } : { code: codeOf(chosen) }) });
    const lit = new Set(this.#sees);
    if (this.#selection?.kind === "device") lit.add(this.#selection.key);
    for (const key of lit) {
      const p = this.#byKey.get(key)?.place;
      if (!p) continue;
      const ring = sector(p);
      if (ring) add("sector", { type: "Polygon", coordinates: [ring] });
      if (this.#place && this.#sees.includes(key)) add("sight", { type: "LineString", coordinates: [[p.lon, p.lat], [this.#place.lon, this.#place.lat]] });
    }
    if (this.#place) add("place", { type: "Point", coordinates: [this.#place.lon, this.#place.lat] });
    const text = JSON.stringify(features);
    if (text === this.#marks) return;
    this.#marks = text;
    this.map.getSource<GeoJSONSource>("marks")?.setData({ type: "FeatureCollection", features }).catch(() => {});
  }

  setInset(inset: Inset): void {
    this.#inset = inset;
  }

  #thing(s: Selection | null): Device | Incident | undefined {
    if (!s) return undefined;
    return s.kind === "device" ? this.#byKey.get(s.key) : this.#incidents.find((i) => i.id === s.id);
  }

  /** Where what is chosen stands; null if it has no place or is not known. */
  where(s: Selection | null): Point | null {
    return this.#thing(s)?.place ?? null;
  }

  /** Shows everything. Without first: only if nobody has moved the map yet. */
  fit(o: { always: boolean; padding?: number }): boolean {
    if (this.#placed && !o.always) return true;
    const box = boxAround([...this.#devices, ...this.#incidents].flatMap((x) => x.place ?? [])) ?? this.base?.bounds;
    if (!box) return false;
    this.#placed = true;
    this.map.fitBounds(box, { padding: this.#padding(o.padding ?? 72), maxZoom: 17.6, animate: o.always && !this.#o.still, duration: 400 });
    return true;
  }

  #padding(wanted: number): number {
    const { clientWidth: w, clientHeight: h } = this.#o.container;
    return Math.max(8, Math.min(wanted, w / 5, h / 5));
  }

  /** Goes to a place, near enough to tell things apart; stays where it is if the place is well in sight. */
  show(p: Point, o: { zoom?: number; centre?: boolean } = {}): void {
    this.#placed = true;
    const at = this.map.project([p.lon, p.lat]);
    const { clientWidth: w, clientHeight: h } = this.#o.container;
    const { right, bottom } = this.#inset;
    const inSight = at.x > w * 0.1 && at.x < (w - right) * 0.9 && at.y > Math.min(96, h * 0.2) && at.y < (h - bottom) * 0.9;
    const zoom = Math.max(this.map.getZoom(), o.zoom ?? separateFrom + 0.2);
    if (inSight && !o.centre && zoom === this.map.getZoom()) return;
    this.#go(p, zoom);
  }

  /** Goes to a view exactly. */
  jump(v: View): void {
    this.#placed = true;
    this.map.jumpTo({ center: [v.lon, v.lat], zoom: v.zoom });
  }

  #go(p: Point, zoom: number): void {
    const offset: [number, number] = [-this.#inset.right / 2, -this.#inset.bottom / 2];
    this.map.easeTo({ center: [p.lon, p.lat], zoom, offset, duration: this.#o.still ? 0 : 350, essential: true });
  }

  zoomBy(steps: number): void {
    this.#placed = true;
    if (this.#o.still) this.map.jumpTo({ zoom: this.map.getZoom() + steps });
    else this.map.easeTo({ zoom: this.map.getZoom() + steps, duration: 200, essential: true });
  }

  #listen(): void {
    const o = this.#o;
    this.map.on("click", (e) => void this.#clicked(e));
    this.map.on("contextmenu", (e) => {
      e.preventDefault();
      o.onplace({ lat: e.lngLat.lat, lon: e.lngLat.lng, x: e.point.x, y: e.point.y });
    });
    this.map.on("mousemove", (e) => {
      if (this.map.isMoving()) return; // what moves under the pointer is not asked for
      const under = this.#under(e);
      this.map.getCanvas().classList.toggle("over", under !== null);
      o.onhover(under);
    });
    this.map.on("mouseout", () => o.onhover(null));
    this.map.on("movestart", (e) => {
      o.onhover(null);
      if (e.originalEvent) this.#placed = true;
    });
  }

  #hit(e: MapMouseEvent) {
    if (!this.#ready) return undefined;
    const { x, y } = e.point;
    const found = this.map.queryRenderedFeatures([[x - 4, y - 4], [x + 4, y + 4]], { layers: touchable });
    const rank = (id: string) => touchable.indexOf(id);
    return found.sort((a, b) => rank(a.layer.id) - rank(b.layer.id))[0];
  }

  #under(e: MapMouseEvent): Under | null {
    const hit = this.#hit(e);
    if (!hit) return null;
    const { x, y } = e.point;
    const p = hit.properties;
    if (p["cluster"]) return { kind: "cluster", devices: Number(p["devices"]), incidents: Number(p["count"]), x, y };
    const key = String(p["key"]);
    return aboutIncidents.has(hit.layer.id)
      ? { kind: "incidents", here: this.#incidentsAt.at(key), x, y }
      : { kind: "devices", here: this.#devicesAt.at(key), x, y };
  }

  async #clicked(e: MapMouseEvent): Promise<void> {
    if (this.#o.onpick({ lat: e.lngLat.lat, lon: e.lngLat.lng, x: e.point.x, y: e.point.y })) return;
    const hit = this.#hit(e);
    if (!hit) {
      this.#o.onselect(null);
      return;
    }
    const p = hit.properties;
    if (p["cluster"]) {
      const source = this.map.getSource<GeoJSONSource>(hit.layer.source);
      const [lon, lat] = (hit.geometry as GeoJSON.Point).coordinates as [number, number];
      const zoom = await source?.getClusterExpansionZoom(Number(p["cluster_id"])).catch(() => undefined);
      this.#go({ lat, lon }, Math.max(this.map.getZoom() + 1, (zoom ?? 0) + 0.3));
      return;
    }
    // Of several at one place each click chooses the next.
    const key = String(p["key"]);
    const here = aboutIncidents.has(hit.layer.id) ? this.#incidentsAt.at(key).map(ofIncident) : this.#devicesAt.at(key).map(ofDevice);
    const now = here.findIndex((s) => same(s, this.#selection));
    this.#o.onselect(here[(now + 1) % here.length] ?? null);
  }

  close(): void {
    this.map.remove();
  }
}
