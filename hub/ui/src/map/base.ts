// The files beside the hub that the map is drawn on: fetched once, for all maps of the page.
import { type SourceSpecification, addProtocol } from "maplibre-gl";
import { api } from "../api/client";
import { type Ground, type Look, geojsonGround, namesOf, tilesGround } from "./ground";

interface MapFile {
  name: string;
  url: string;
  bytes: number;
  modified: string;
  too_large?: boolean;
}

export interface Base {
  sources: Record<string, SourceSpecification>;
  ground: (look: Look) => Ground[];
  /** who made the base, in plain text; "" for nobody */
  attribution: string;
  /** west, south, east, north of the base; null if that is not known */
  bounds: [number, number, number, number] | null;
  /** names of files that cannot be drawn */
  broken: string[];
}

let kept: Promise<Base> | null = null;

/** What the map is drawn on. A failure is not kept: the next map asks again. */
export function loadBase(): Promise<Base> {
  kept ??= load().catch((error: unknown) => {
    kept = null;
    throw error;
  });
  return kept;
}

async function load(): Promise<Base> {
  const files = await api.get<{ layers: MapFile[]; base: MapFile | null }>("/api/v1/map/layers");
  const base: Base = { sources: {}, ground: () => [], attribution: "", bounds: null, broken: [] };
  const grounds: ((look: Look) => Ground)[] = [];
  if (files.base) {
    try {
      grounds.push(await archive(files.base, base));
    } catch (error) {
      console.warn("the map's base", error);
      base.broken.push("base.pmtiles");
    }
  }
  for (const f of files.layers) {
    if (f.too_large) {
      base.broken.push(`${f.name}.geojson`);
      continue;
    }
    const source = `layer:${f.name}`;
    // Fetched and taken apart by the worker; the ETag spares what has not changed.
    base.sources[source] = base.sources[namesOf(source)] = { type: "geojson", data: new URL(f.url, location.href).href, tolerance: 0.2 };
    grounds.push((look) => geojsonGround(source, look));
  }
  base.ground = (look) => grounds.map((g) => g(look));
  return base;
}

/** Opens the PMTiles archive, which the hub serves by byte ranges. */
async function archive(file: MapFile, base: Base): Promise<(look: Look) => Ground> {
  const { PMTiles, Protocol, TileType } = await import("pmtiles");
  const tiles = new PMTiles(new URL(file.url, location.href).href);
  const header = await tiles.getHeader();
  const about = (await tiles.getMetadata()) as { vector_layers?: { id: string }[]; attribution?: string } | null;
  const protocol = new Protocol();
  protocol.add(tiles);
  addProtocol("pmtiles", protocol.tile);
  base.bounds = [header.minLon, header.minLat, header.maxLon, header.maxLat];
  base.attribution = (about?.attribution ?? "").replace(/<[^>]*>/g, "").trim();
  const at = { tiles: [`pmtiles://${tiles.source.getKey()}/{z}/{x}/{y}`], minzoom: header.minZoom, maxzoom: header.maxZoom, bounds: base.bounds };
  if (header.tileType !== TileType.Mvt) {
    base.sources["base"] = { type: "raster", tileSize: 256, ...at };
    return () => [{ level: "field", layer: { id: "ground:base", type: "raster", source: "base" } }];
  }
  base.sources["base"] = base.sources[namesOf("base")] = { type: "vector", ...at };
  const layers = about?.vector_layers?.map((l) => l.id) ?? [];
  return (look) => tilesGround("base", layers, look);
}
