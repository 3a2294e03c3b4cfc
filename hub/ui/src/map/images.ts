// The map's symbols, drawn from the console's own shapes and colours: what an incident looks like in
// the list it looks like on the map. A symbol tells by its shape; the colour only says it again.
import { type Severity, severities } from "../api/types";
import { icons } from "../ui/icons";
import type { Colours } from "./colours";

export interface Image {
  width: number;
  height: number;
  data: Uint8ClampedArray;
}
export interface Symbol {
  image: Image;
  pixelRatio: number;
  /** parts that may be stretched, and where a text goes, in pixels of the image */
  stretchX?: [number, number][];
  stretchY?: [number, number][];
  content?: [number, number, number, number];
}

// As in ui/Severity.svelte, on a grid of 16.
const shapes: Record<Severity, { shape: string; mark: string }> = {
  extreme: { shape: "M5 .8h6L15.2 5v6L11 15.2H5L.8 11V5z", mark: "M8 4v5M8 11.5v.2" },
  severe: { shape: "M8 1.2 15.5 14.5H.5z", mark: "M8 6v4M8 12.2v.1" },
  moderate: { shape: "M8 1 15 8 8 15 1 8z", mark: "" },
  minor: { shape: "M8 2.8a5.2 5.2 0 1 0 0 10.4a5.2 5.2 0 0 0 0-10.4z", mark: "" },
};

export type Ratio = 1 | 2 | 3;

function draw(width: number, height: number, ratio: Ratio, paint: (c: CanvasRenderingContext2D) => void): Symbol {
  const canvas = document.createElement("canvas");
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const c = canvas.getContext("2d", { willReadFrequently: true });
  if (!c) throw new Error("this browser draws no canvas");
  c.scale(ratio, ratio);
  c.lineCap = "round";
  c.lineJoin = "round";
  paint(c);
  return { image: c.getImageData(0, 0, canvas.width, canvas.height), pixelRatio: ratio };
}

function circle(c: CanvasRenderingContext2D, x: number, y: number, r: number): void {
  c.beginPath();
  c.arc(x, y, r, 0, 2 * Math.PI);
}

type Look = "open" | "taken" | "closed";

/** An incident's shape, size px wide, its upper left corner at x, y. */
function severityShape(c: CanvasRenderingContext2D, k: Colours, s: Severity, look: Look, x: number, y: number, size: number): void {
  const shape = new Path2D(shapes[s].shape);
  const mark = new Path2D(shapes[s].mark);
  const colour = look === "closed" ? k["text-faint"] : k[s];
  c.save();
  c.translate(x, y);
  c.scale(size / 16, size / 16);
  c.lineWidth = 4; // keeps it apart from what lies under it
  c.strokeStyle = k.land;
  c.stroke(shape);
  c.fillStyle = look === "open" && s !== "minor" ? colour : look === "taken" && s !== "minor" ? k[`${s}-ground`] : k.surface;
  c.fill(shape);
  c.strokeStyle = colour;
  c.lineWidth = s === "minor" ? 2.5 : look === "open" ? 1 : 1.75;
  c.stroke(shape);
  c.lineWidth = 1.75;
  c.strokeStyle = look === "open" ? k[`on-${s}`] : colour;
  c.stroke(mark);
  c.restore();
}

/** px: how an incident stands over its place. Its shape is above what stands there, its stem below that. */
export const flag = { size: 24, box: 28, lift: 31, liftCluster: 38, stem: 24 };

function incident(k: Colours, ratio: Ratio, s: Severity, look: Look): Symbol {
  const { box, size } = flag;
  return draw(box, box, ratio, (c) => severityShape(c, k, s, look, (box - size) / 2, (box - size) / 2, size));
}

/** From an incident's shape down to its place, where a dot shows the spot. */
function stem(k: Colours, ratio: Ratio, colour: string): Symbol {
  const height = flag.stem + 4;
  return draw(10, height, ratio, (c) => {
    for (const [style, wide] of [[k.land, 5], [colour, 2]] as const) {
      c.strokeStyle = style;
      c.lineWidth = wide;
      c.beginPath();
      c.moveTo(5, 2);
      c.lineTo(5, height - 5);
      c.stroke();
    }
    circle(c, 5, height - 5, 3.2);
    c.fillStyle = colour;
    c.fill();
    c.strokeStyle = k.land;
    c.lineWidth = 1.5;
    c.stroke();
  });
}

function incidentCluster(k: Colours, ratio: Ratio, s: Severity, look: Look): Symbol {
  const size = 40;
  return draw(size, size, ratio, (c) => {
    const colour = look === "closed" ? k["text-faint"] : k[s];
    circle(c, size / 2, size / 2, 17.5);
    c.fillStyle = k.surface;
    c.fill();
    c.strokeStyle = k.land;
    c.lineWidth = 4;
    c.stroke();
    c.strokeStyle = colour;
    c.lineWidth = 2;
    if (look === "taken") c.setLineDash([4, 4]);
    c.stroke();
    c.setLineDash([]);
    severityShape(c, k, s, look, size / 2 - 9, size / 2 - 9.5, 18);
  });
}

function badge(c: CanvasRenderingContext2D, k: Colours, x: number, y: number): void {
  circle(c, x, y, 5.5);
  c.fillStyle = k.bad;
  c.fill();
  c.strokeStyle = k.land;
  c.lineWidth = 1.5;
  c.stroke();
  c.beginPath();
  c.moveTo(x - 2, y - 2);
  c.lineTo(x + 2, y + 2);
  c.moveTo(x + 2, y - 2);
  c.lineTo(x - 2, y + 2);
  c.strokeStyle = k.land;
  c.lineWidth = 1.6;
  c.stroke();
}

type State = "online" | "offline" | "unknown";

function device(k: Colours, ratio: Ratio, kind: "camera" | "sensor", state: State): Symbol {
  const size = 32;
  return draw(size, size, ratio, (c) => {
    const outline = () => {
      c.beginPath();
      if (kind === "camera") c.arc(16, 16, 11, 0, 2 * Math.PI);
      else c.roundRect(5.5, 5.5, 21, 21, 5);
    };
    outline();
    c.strokeStyle = k.land;
    c.lineWidth = 4;
    c.stroke();
    c.fillStyle = k.raised;
    c.fill();
    c.strokeStyle = state === "offline" ? k.bad : state === "online" ? k["line-strong"] : k["text-faint"];
    c.lineWidth = 1.5;
    if (state === "unknown") c.setLineDash([2.5, 3]);
    c.stroke();
    c.setLineDash([]);
    c.save();
    const scale = 15 / 24;
    c.translate(16 - 12 * scale, 16 - 12 * scale);
    c.scale(scale, scale);
    c.strokeStyle = state === "offline" ? k.bad : state === "online" ? k.text : k["text-dim"];
    c.lineWidth = 2.1;
    for (const d of icons[kind]) c.stroke(new Path2D(d));
    c.restore();
    if (state === "offline") badge(c, k, 25, 8);
  });
}

function deviceCluster(k: Colours, ratio: Ratio, bad: boolean): Symbol {
  const size = 40;
  return draw(size, size, ratio, (c) => {
    circle(c, 20, 20, 15);
    c.strokeStyle = k.land;
    c.lineWidth = 4;
    c.stroke();
    c.fillStyle = k.raised;
    c.fill();
    c.strokeStyle = bad ? k.bad : k["line-strong"];
    c.lineWidth = 1.5;
    c.stroke();
    if (bad) badge(c, k, 31.5, 9);
  });
}

/** What a count stands on; stretched to its digits. */
function count(k: Colours, ratio: Ratio): Symbol {
  const s = draw(20, 18, ratio, (c) => {
    c.beginPath();
    c.roundRect(1.5, 1.5, 17, 15, 7.5);
    c.fillStyle = k.raised;
    c.fill();
    c.strokeStyle = k["line-strong"];
    c.lineWidth = 1;
    c.stroke();
  });
  const px = (...n: number[]) => n.map((v) => v * ratio);
  return { ...s, stretchX: [px(9, 11) as [number, number]], stretchY: [px(8.5, 9.5) as [number, number]], content: px(6, 3, 14, 15) as [number, number, number, number] };
}

function ring(k: Colours, ratio: Ratio, radius: number): Symbol {
  const size = 2 * radius + 6;
  return draw(size, size, ratio, (c) => {
    for (const [style, wide] of [[k.land, 5], [k.accent, 2.5]] as const) {
      circle(c, size / 2, size / 2, radius);
      c.strokeStyle = style;
      c.lineWidth = wide;
      c.stroke();
    }
  });
}

/** The place that is asked about. */
function place(k: Colours, ratio: Ratio): Symbol {
  return draw(28, 40, ratio, (c) => {
    c.translate(14, 38);
    const pin = new Path2D("M0 0C-8 -9.5 -11 -15 -11 -22a11 11 0 0 1 22 0C11 -15 8 -9.5 0 0z");
    c.strokeStyle = k.land;
    c.lineWidth = 3.5;
    c.stroke(pin);
    c.fillStyle = k.accent;
    c.fill(pin);
    circle(c, 0, -22, 4.2);
    c.fillStyle = k.land;
    c.fill();
  });
}

/** All symbols by name. */
export function drawAll(k: Colours, ratio: Ratio): Map<string, Symbol> {
  const all = new Map<string, Symbol>();
  for (const s of severities) {
    all.set(`incident-${s}`, incident(k, ratio, s, "open"));
    all.set(`incident-${s}-taken`, incident(k, ratio, s, "taken"));
    all.set(`stem-${s}`, stem(k, ratio, k[s]));
    all.set(`incident-${s}-cluster`, incidentCluster(k, ratio, s, "open"));
    all.set(`incident-${s}-taken-cluster`, incidentCluster(k, ratio, s, "taken"));
  }
  all.set("incident-closed", incident(k, ratio, "minor", "closed"));
  all.set("stem-closed", stem(k, ratio, k["text-faint"]));
  all.set("incident-closed-cluster", incidentCluster(k, ratio, "minor", "closed"));
  for (const kind of ["camera", "sensor"] as const)
    for (const state of ["online", "offline", "unknown"] as const) all.set(`${kind}-${state}`, device(k, ratio, kind, state));
  all.set("devices", deviceCluster(k, ratio, false));
  all.set("devices-bad", deviceCluster(k, ratio, true));
  all.set("count", count(k, ratio));
  all.set("ring-device", ring(k, ratio, 16));
  all.set("ring-incident", ring(k, ratio, 19));
  all.set("place", place(k, ratio));
  return all;
}
