// What the console draws on the ground: sectors of view, devices, incidents, and what is chosen.
import type { ExpressionSpecification, LayerSpecification, SourceSpecification } from "maplibre-gl";
import { severities } from "../api/types";
import { type Colours, mix } from "./colours";
import { deviceSymbols, symbolOf } from "./features";
import type { Look } from "./ground";
import { flag } from "./images";
import { font } from "./labels";

type Expression = ExpressionSpecification;
type Spec = Record<string, unknown>;

const empty = { type: "FeatureCollection", features: [] };

/** From this zoom on every device and place stands for itself. */
export const separateFrom = 17;

/** The sources that the engine fills. A small map shows too little for clusters. */
export function overlaySources(clustered: boolean): Record<string, SourceSpecification> {
  const sum = (name: string) => ["+", ["get", name]];
  const largest = (name: string) => ["max", ["get", name]];
  return {
    places: {
      type: "geojson", data: empty, promoteId: "key", maxzoom: 18,
      ...(clustered && {
        cluster: true, clusterMaxZoom: separateFrom - 1, clusterRadius: 64,
        clusterProperties: { devices: sum("devices"), bad: sum("bad"), code: largest("code"), weight: largest("weight"), count: sum("count") },
      }),
    },
    sectors: { type: "geojson", data: empty, promoteId: "key", tolerance: 0.2 },
    marks: { type: "geojson", data: empty },
  } as unknown as Record<string, SourceSpecification>;
}

const weights = [0, ...severities.flatMap((_, i) => [1 + i, 11 + i])];
const incidentImage = (suffix: string): Expression =>
  ["match", ["get", "weight"], ...weights.flatMap((w) => [w, symbolOf(w) + suffix]), "incident-closed" + suffix] as unknown as Expression;

const deviceImage: Expression =
  ["match", ["get", "code"], ...Object.entries(deviceSymbols).flatMap(([code, name]) => [Number(code), name]), "devices"] as unknown as Expression;

const stemImage: Expression =
  ["match", ["get", "weight"], ...weights.slice(1).flatMap((w) => [w, symbolOf(w).replace("incident", "stem").replace("-taken", "")]), "stem-closed"] as unknown as Expression;

const cluster: Expression = ["has", "point_count"];
const alone: Expression = ["!", ["has", "point_count"]];
const hasIncidents: Expression = [">=", ["get", "weight"], 0];
const one: Expression = ["==", ["get", "count"], 1];
const all = (...f: Expression[]): Expression => ["all", ...f] as unknown as Expression;
const devices = (how: "==" | ">"): Expression => [how, ["get", "devices"], 1];
const is = (what: string): Expression => ["==", ["get", "mark"], what];
const labelFrom = 15.5;

function words(k: Colours, size: number): { layout: Spec; paint: Spec } {
  return {
    layout: { "text-font": font, "text-size": size, "text-max-width": 9, "text-line-height": 1.15 },
    paint: { "text-color": k.text, "text-halo-color": k.land, "text-halo-width": 1.8 },
  };
}

/** From the bottom to the top. What stands later in the list is seen first and keeps its label. */
export function overlayLayers(look: Look): LayerSpecification[] {
  const k = look.colours;
  const text = words(k, 12);
  const pile = { "icon-allow-overlap": true, "icon-ignore-placement": true };
  const keep = { "icon-allow-overlap": true }; // labels give way to these
  const seen = mix(k.land, k.accent, 0.9);
  const list: Spec[] = [
    {
      id: "sectors", type: "fill", source: "sectors", minzoom: 14,
      paint: { "fill-color": ["case", ["==", ["get", "state"], "online"], k.accent, k["text-faint"]], "fill-opacity": ["interpolate", ["linear"], ["zoom"], 14, 0, 15.5, 0.085] },
    },
    {
      id: "sector-lines", type: "line", source: "sectors", minzoom: 15, filter: ["==", ["get", "state"], "online"],
      paint: { "line-color": k.accent, "line-width": 1, "line-opacity": ["interpolate", ["linear"], ["zoom"], 15, 0, 16, 0.38] },
    },
    {
      id: "sector-lines-off", type: "line", source: "sectors", minzoom: 15, filter: ["!=", ["get", "state"], "online"],
      paint: { "line-color": k["text-faint"], "line-width": 1, "line-dasharray": [3, 3], "line-opacity": 0.5 },
    },
    { id: "chosen-sectors", type: "fill", source: "marks", filter: is("sector"), paint: { "fill-color": seen, "fill-opacity": 0.05 } },
    { id: "chosen-sector-lines", type: "line", source: "marks", filter: is("sector"), paint: { "line-color": seen, "line-width": 2, "line-opacity": 0.9 } },
    {
      id: "sight", type: "line", source: "marks", filter: is("sight"), layout: { "line-cap": "butt" },
      paint: { "line-color": seen, "line-width": 1.5, "line-dasharray": [3, 2.5] },
    },
    {
      id: "stems", type: "symbol", source: "places", filter: hasIncidents,
      layout: { ...pile, "icon-image": stemImage, "icon-anchor": "bottom", "icon-offset": [0, 5] },
    },
    { id: "chosen-stem", type: "symbol", source: "marks", filter: is("incident"), layout: { ...pile, "icon-image": stemImage, "icon-anchor": "bottom", "icon-offset": [0, 5] } },
    {
      id: "device-names", type: "symbol", source: "places", minzoom: labelFrom, filter: all(alone, devices(">")),
      layout: { ...text.layout, "text-field": ["get", "name"], "text-anchor": "top", "text-offset": [0, 1.6] },
      paint: text.paint,
    },
    {
      id: "device-groups", type: "symbol", source: "places", filter: devices(">"),
      layout: {
        ...text.layout, ...keep, "icon-image": ["case", [">", ["get", "bad"], 0], "devices-bad", "devices"],
        "text-field": ["to-string", ["get", "devices"]], "text-size": 12, "text-allow-overlap": true, "text-ignore-placement": true,
      },
      paint: { "text-color": k.text },
    },
    {
      id: "devices", type: "symbol", source: "places", filter: devices("=="),
      layout: {
        ...text.layout, "icon-image": deviceImage, "icon-allow-overlap": true, "icon-size": ["interpolate", ["linear"], ["zoom"], 14, 0.8, 17, 1],
        "text-field": ["step", ["zoom"], "", labelFrom, ["coalesce", ["get", "name"], ""]], "text-optional": true, "text-variable-anchor": ["top", "right", "left"], "text-radial-offset": 1.35, "text-justify": "auto",
        "text-padding": 3, "symbol-sort-key": ["-", ["get", "bad"]],
      },
      paint: text.paint,
    },
    // What is chosen stands at its own place, also while the rest is in a cluster.
    { id: "chosen-device", type: "symbol", source: "marks", filter: is("device"), layout: { ...pile, "icon-image": deviceImage } },
    { id: "ring", type: "symbol", source: "marks", filter: is("device"), layout: { ...pile, "icon-image": "ring-device" } },
    {
      id: "incidents", type: "symbol", source: "places", filter: all(hasIncidents, ["any", alone, one] as unknown as Expression),
      layout: { ...keep, "icon-image": incidentImage(""), "icon-offset": [0, -flag.lift], "symbol-sort-key": ["get", "weight"] },
    },
    {
      id: "incident-clusters", type: "symbol", source: "places", filter: all(hasIncidents, cluster, ["!", one] as unknown as Expression),
      layout: { ...keep, "icon-image": incidentImage("-cluster"), "icon-offset": [0, -flag.liftCluster], "symbol-sort-key": ["get", "weight"] },
    },
    count(k, "incident-counts", all(hasIncidents, alone, ["!", one] as unknown as Expression), [1.65, -3.6]),
    count(k, "incident-cluster-counts", all(hasIncidents, cluster, ["!", one] as unknown as Expression), [1.8, -4.7]),
    { id: "chosen-incident", type: "symbol", source: "marks", filter: is("incident"), layout: { ...pile, "icon-image": incidentImage(""), "icon-offset": [0, -flag.lift] } },
    { id: "ring-incident", type: "symbol", source: "marks", filter: is("incident"), layout: { ...pile, "icon-image": "ring-incident", "icon-offset": [0, -flag.lift] } },
    { id: "place", type: "symbol", source: "marks", filter: is("place"), layout: { ...pile, "icon-image": "place", "icon-anchor": "bottom", "icon-offset": [0, 2] } },
  ];
  return list as unknown as LayerSpecification[];
}

/** A number on a small plate, beside a symbol. */
function count(k: Colours, id: string, filter: Expression, offset: [number, number]): Spec {
  return {
    id, type: "symbol", source: "places", filter,
    layout: {
      "text-field": ["case", [">", ["get", "count"], 999], ["concat", ["to-string", ["round", ["/", ["get", "count"], 1000]]], "k"], ["to-string", ["get", "count"]]],
      "text-font": font, "text-size": 11, "text-anchor": "left", "text-offset": offset, "text-allow-overlap": true,
      "icon-image": "count", "icon-text-fit": "both", "icon-text-fit-padding": [1, 2, 1, 2], "icon-allow-overlap": true,
    },
    paint: { "text-color": k.text },
  };
}

/** The layers that a click can hit, those on top first. */
export const touchable = ["chosen-incident", "incident-clusters", "incidents", "chosen-device", "device-groups", "devices"];

/** Those of them that stand for incidents. */
export const aboutIncidents: ReadonlySet<string> = new Set(["chosen-incident", "incidents"]);
