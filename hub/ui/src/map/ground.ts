// How the ground is drawn: land, water, buildings, streets and their names, out of GeoJSON beside the
// hub or of a PMTiles archive in one of the two schemas that are in use.
//
// A feature of a GeoJSON layer says what it is by "kind": water, waterway, water-name, park, field,
// square, building, street (with "class" main, street or lane, and "width" in metres), path, rail, area;
// names are in "name", "name:zh" and "name:en". Whatever has no known kind is drawn as plain lines.
import type { ExpressionSpecification, FilterSpecification, LayerSpecification } from "maplibre-gl";
import type { Language } from "../i18n/messages";
import { type Colours, mix } from "./colours";
import { font, nameIn } from "./labels";

export interface Look {
  colours: Colours;
  language: Language;
}

/** Where features come from: a source, for tiles also a layer in it. */
interface From {
  source: string;
  layer?: string;
}

/** The source of a source's names. A tile is drawn when all of its glyphs are there: shapes do not wait for them. */
export const namesOf = (source: string): string => `names:${source}`;

type Layer = LayerSpecification;
type Expression = ExpressionSpecification;

/** What is drawn, from the bottom to the top; the layers of all files are merged in this order. */
const order = ["field", "park", "water", "waterway", "square", "building", "other", "path", "rail", "casing", "street", "name"] as const;
export type Level = (typeof order)[number];
export type Ground = { level: Level; layer: Layer }[];

/** All files' layers as one list in the order in which they are drawn. */
export function stacked(files: Ground[]): Layer[] {
  const all = files.flat();
  return order.flatMap((level) => all.filter((g) => g.level === level).map((g) => g.layer));
}

/** A width in metres as pixels at every zoom; never thinner than least pixels. */
function metres(width: Expression | number, least: number): Expression {
  const at = (perMetre: number) => ["max", least, ["*", width, perMetre]];
  // 1 m is 1 px at zoom 16 and 31 degrees north, and doubles with each zoom.
  return ["interpolate", ["exponential", 2], ["zoom"], 10, at(1 / 64), 13, at(1 / 8), 16, at(1), 20, at(16), 22, at(64)] as unknown as Expression;
}

class Painter {
  readonly out: Ground = [];

  constructor(
    private readonly from: From,
    private readonly look: Look,
    private readonly tag = "",
  ) {}

  #add(level: Level, name: string, layer: object, filter: FilterSpecification | null): void {
    const source = level === "name" ? namesOf(this.from.source) : this.from.source;
    const id = `ground:${this.from.source}:${this.from.layer ?? ""}${this.tag}:${name}`;
    const at = { source, ...(this.from.layer && { "source-layer": this.from.layer }) };
    this.out.push({ level, layer: { id, ...at, ...(filter && { filter }), ...layer } as Layer });
  }

  fill(level: Level, name: string, filter: FilterSpecification | null, colour: string, more: { outline?: string; minzoom?: number; opacity?: unknown } = {}): this {
    const paint = { "fill-color": colour, ...(more.outline && { "fill-outline-color": more.outline }), ...(more.opacity !== undefined && { "fill-opacity": more.opacity }) };
    this.#add(level, name, { type: "fill", ...(more.minzoom && { minzoom: more.minzoom }), paint }, filter);
    return this;
  }

  line(level: Level, name: string, filter: FilterSpecification | null, colour: string, width: unknown, more: { dash?: number[]; minzoom?: number; opacity?: unknown; cap?: "butt" | "round" } = {}): this {
    const paint = { "line-color": colour, "line-width": width, ...(more.dash && { "line-dasharray": more.dash }), ...(more.opacity !== undefined && { "line-opacity": more.opacity }) };
    const layout = { "line-join": "round", "line-cap": more.cap ?? "round" };
    this.#add(level, name, { type: "line", ...(more.minzoom && { minzoom: more.minzoom }), layout, paint }, filter);
    return this;
  }

  street(name: string, filter: FilterSpecification, width: Expression | number, minzoom = 0): this {
    const { colours: k } = this.look;
    const w = metres(width, 0.8);
    this.line("casing", `${name}-casing`, filter, mix(k.land, k.street, 0.35), ["interpolate", ["linear"], ["zoom"], 12, 0, 22, 0], { minzoom: Math.max(14, minzoom) });
    const casing = this.out[this.out.length - 1]!.layer as { paint: Record<string, unknown> };
    casing.paint["line-width"] = metres(["+", 3, width] as unknown as Expression, 1.6);
    return this.line("street", name, filter, k.street, w, { minzoom });
  }

  text(name: string, filter: FilterSpecification | null, o: { along?: boolean; size?: unknown; colour?: string; spacing?: number; minzoom?: number; maxzoom?: number; padding?: number; sort?: unknown }): this {
    const { colours: k, language } = this.look;
    const layout = {
      "text-field": nameIn(language), "text-font": font, "text-size": o.size ?? 12, "text-letter-spacing": o.spacing ?? (o.along ? 0.06 : 0.02),
      "text-max-width": 8, "text-padding": o.padding ?? 6, ...(o.sort !== undefined && { "symbol-sort-key": o.sort }),
      ...(o.along && { "symbol-placement": "line", "symbol-spacing": 420, "text-max-angle": 35, "text-rotation-alignment": "map" }),
    };
    const paint = { "text-color": o.colour ?? k["street-text"], "text-halo-color": k.land, "text-halo-width": 1.6 };
    this.#add("name", name, { type: "symbol", ...(o.minzoom && { minzoom: o.minzoom }), ...(o.maxzoom && { maxzoom: o.maxzoom }), layout, paint }, filter);
    return this;
  }

  point(name: string, filter: FilterSpecification, colour: string): this {
    this.#add("other", name, { type: "circle", paint: { "circle-radius": 3, "circle-color": colour } }, filter);
    return this;
  }
}

const kind = (...kinds: string[]): FilterSpecification => ["in", ["get", "kind"], ["literal", kinds]] as FilterSpecification;
const all = (...f: FilterSpecification[]): FilterSpecification => ["all", ...f] as FilterSpecification;
const geometry = (g: string): FilterSpecification => ["==", ["geometry-type"], g] as unknown as FilterSpecification;

const known = ["water", "waterway", "water-name", "park", "field", "square", "building", "street", "path", "rail", "area"];
const areaSize: Expression = ["interpolate", ["linear"], ["zoom"], 12, 12, 16, 16, 18, 18];
const streetWidth: Expression = ["coalesce", ["get", "width"], ["match", ["get", "class"], "main", 14, "lane", 6, 9]] as unknown as Expression;

/** Colours that lie between the tokens. */
function shades(k: Colours) {
  return {
    waterText: mix(k.water, k["street-text"], 0.7),
    field: mix(k.land, k.park, 0.5),
    square: mix(k.land, k.street, 0.55),
    eaves: mix(k.building, k["line-strong"], 0.25),
    bank: mix(k.water, k["street-text"], 0.18),
    rail: mix(k.street, k["line-strong"], 0.5),
    area: mix(k["street-text"], k.text, 0.25),
    parkText: mix(k.park, k["street-text"], 0.8),
  };
}

/** A GeoJSON layer beside the hub. */
export function geojsonGround(source: string, look: Look): Ground {
  const { colours: k } = look;
  const s = shades(k);
  const other = ["!", kind(...known)] as unknown as FilterSpecification;
  const closer: Expression = ["interpolate", ["linear"], ["zoom"], 13.5, 0, 14.5, 1];
  return new Painter({ source }, look)
    .fill("field", "field", kind("field"), s.field)
    .fill("park", "park", kind("park"), k.park)
    // Under the water, so that where two waters meet there is none.
    .line("water", "bank", all(kind("water"), geometry("Polygon")), s.bank, 2.5, { minzoom: 14 })
    .fill("water", "water", all(kind("water"), geometry("Polygon")), k.water)
    .line("waterway", "stream", all(kind("waterway"), ["has", "width"] as unknown as FilterSpecification), k.water, metres(["get", "width"] as unknown as Expression, 1))
    .fill("square", "square", kind("square"), s.square)
    .fill("building", "building", kind("building"), k.building, { minzoom: 13.5, opacity: closer })
    .line("building", "eaves", kind("building"), s.eaves, 0.75, { minzoom: 15, opacity: ["interpolate", ["linear"], ["zoom"], 15, 0, 16, 0.9] })
    .line("path", "path", kind("path"), mix(k.street, k["street-text"], 0.3), ["interpolate", ["linear"], ["zoom"], 14, 0.8, 18, 1.8], { dash: [2, 2], minzoom: 14.5, cap: "butt" })
    .line("rail", "rail", kind("rail"), s.rail, ["interpolate", ["linear"], ["zoom"], 12, 1, 18, 3], { cap: "butt" })
    .line("rail", "sleepers", kind("rail"), s.rail, ["interpolate", ["linear"], ["zoom"], 13, 4, 18, 9], { dash: [0.25, 2.5], minzoom: 13.5, cap: "butt" })
    .street("street", kind("street"), streetWidth)
    .fill("other", "other-fill", all(other, geometry("Polygon")), k.accent, { opacity: 0.05 })
    .line("other", "other-line", all(other, ["!", geometry("Point")] as unknown as FilterSpecification), k["line-strong"], 1.5)
    .point("other-point", all(other, geometry("Point")), k["street-text"])
    .text("building-name", kind("building"), { size: 11, minzoom: 16.2, padding: 10 })
    .text("lane-name", all(kind("street", "path"), ["in", ["get", "class"], ["literal", ["lane", null]]] as unknown as FilterSpecification), { along: true, size: 11, minzoom: 16 })
    .text("other-name", other, { size: 12, minzoom: 14 })
    .text("park-name", kind("park", "square"), { size: 11.5, minzoom: 15, colour: s.parkText })
    .text("street-name", all(kind("street"), ["!=", ["get", "class"], "lane"] as unknown as FilterSpecification), { along: true, size: ["interpolate", ["linear"], ["zoom"], 14, 11, 18, 13], minzoom: 14 })
    .text("water-line-name", kind("waterway"), { along: true, size: 12.5, spacing: 0.3, colour: s.waterText, minzoom: 13.5 })
    .text("water-name", kind("water-name"), { size: 12.5, spacing: 0.15, colour: s.waterText, minzoom: 13.5 })
    .text("rail-name", kind("rail"), { along: true, size: 11, minzoom: 15 })
    .text("area-name", kind("area"), { size: areaSize, spacing: 0.18, colour: s.area, maxzoom: 16.8, padding: 12 })
    .out;
}

/** A base of vector tiles; layers are the names of those in the archive. */
export function tilesGround(source: string, layers: readonly string[], look: Look): Ground {
  return layers.includes("transportation") ? openMapTiles(source, look) : protomaps(source, look);
}

// https://docs.protomaps.com/basemaps/layers
function protomaps(source: string, look: Look): Ground {
  const { colours: k } = look;
  const s = shades(k);
  const on = (layer: string) => new Painter({ source, layer }, look);
  const green = ["park", "forest", "wood", "grass", "grassland", "nature_reserve", "golf_course", "cemetery", "garden", "meadow", "scrub", "recreation_ground"];
  const width: Expression = ["match", ["get", "kind"], "highway", 18, "major_road", 14, "minor_road", 8, 6] as unknown as Expression;
  return [
    on("landcover").fill("field", "green", kind("grassland", "forest", "farmland"), s.field).out,
    on("landuse").fill("park", "green", kind(...green), k.park).fill("field", "grounds", kind("school", "hospital", "university", "pedestrian", "farmland"), s.field).out,
    on("water").fill("water", "water", geometry("Polygon"), k.water).line("waterway", "stream", geometry("LineString"), k.water, metres(6, 0.8))
      .text("name", geometry("LineString"), { along: true, spacing: 0.2, colour: s.waterText, minzoom: 13 }).text("lake", geometry("Point"), { colour: s.waterText, minzoom: 12 }).out,
    on("buildings").fill("building", "building", null, k.building, { minzoom: 13.5 }).line("building", "eaves", null, s.eaves, 0.75, { minzoom: 15.5 }).out,
    on("roads").street("roads", kind("highway", "major_road", "minor_road"), width).line("path", "path", kind("path", "other"), s.rail, 1, { dash: [2, 2], minzoom: 15, cap: "butt" })
      .line("rail", "rail", kind("rail"), s.rail, 1.5, { minzoom: 12, cap: "butt" })
      .text("name", kind("highway", "major_road", "minor_road"), { along: true, size: 12, minzoom: 13.5 }).out,
    on("boundaries").line("other", "border", null, k["line-strong"], 1, { dash: [4, 3], cap: "butt" }).out,
    on("places").text("place", null, { size: ["interpolate", ["linear"], ["zoom"], 6, 12, 14, 16], colour: s.area, spacing: 0.08, maxzoom: 17 }).out,
  ].flat();
}

// https://openmaptiles.org/schema/
function openMapTiles(source: string, look: Look): Ground {
  const { colours: k } = look;
  const s = shades(k);
  const on = (layer: string) => new Painter({ source, layer }, look);
  const is = (...c: string[]): FilterSpecification => ["in", ["get", "class"], ["literal", c]] as FilterSpecification;
  const roads = ["motorway", "trunk", "primary", "secondary", "tertiary", "minor", "service"];
  const width: Expression = ["match", ["get", "class"], "motorway", 18, "trunk", 18, "primary", 14, "secondary", 12, "tertiary", 10, "minor", 8, 5] as unknown as Expression;
  return [
    on("landcover").fill("field", "green", is("grass", "wood", "farmland"), s.field).out,
    on("landuse").fill("field", "grounds", is("school", "hospital", "cemetery", "pitch", "park"), s.field).out,
    on("park").fill("park", "park", null, k.park).out,
    on("water").fill("water", "water", null, k.water).out,
    on("waterway").line("waterway", "stream", null, k.water, metres(6, 0.8)).text("name", null, { along: true, spacing: 0.2, colour: s.waterText, minzoom: 13 }).out,
    on("water_name").text("name", null, { colour: s.waterText, minzoom: 11 }).out,
    on("building").fill("building", "building", null, k.building, { minzoom: 13.5 }).line("building", "eaves", null, s.eaves, 0.75, { minzoom: 15.5 }).out,
    on("transportation").street("roads", is(...roads), width).line("path", "path", is("path", "track"), s.rail, 1, { dash: [2, 2], minzoom: 15, cap: "butt" })
      .line("rail", "rail", is("rail", "transit"), s.rail, 1.5, { minzoom: 12, cap: "butt" }).out,
    on("transportation_name").text("name", null, { along: true, size: 12, minzoom: 13.5 }).out,
    on("boundary").line("other", "border", null, k["line-strong"], 1, { dash: [4, 3], cap: "butt" }).out,
    on("place").text("place", null, { size: ["interpolate", ["linear"], ["zoom"], 6, 12, 14, 16], colour: s.area, spacing: 0.08, maxzoom: 17 }).out,
  ].flat();
}
