// The curve itself, by uPlot. Loaded when a curve is first shown.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Language } from "../../i18n/i18n.svelte";
import * as format from "../../i18n/format";
import { axisWidth } from "../../ui/axis";

export interface Marks {
  opened: number; // ms
  ended: number | null; // ms; null: it goes on
  limit: number | null;
  unit: string;
  language: Language;
}

type Data = [number[], number[]];

/** A gap of more than so many usual steps is drawn as one. */
const gapSteps = 6;

export class Plot {
  #chart: uPlot;

  constructor(into: HTMLElement, m: Marks, data: Data, size: { width: number; height: number }) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const font = `12px ${style.getPropertyValue("--font").trim() || "sans-serif"}`;
    const axis = { stroke: colour("--text-dim"), font, grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1, size: 4 } };
    this.#chart = new uPlot(
      {
        width: Math.max(size.width, 100), height: Math.max(size.height, 80), legend: { show: false },
        cursor: { y: false, points: { size: 8 }, drag: { x: false, y: false } },
        scales: {
          x: { range: (_, min, max) => [Math.min(min, m.opened / 1000 - 60), Math.max(max, (m.ended ?? m.opened) / 1000 + 60)] },
          y: { range: (_, min, max) => within(min, max, m.limit) },
        },
        axes: [
          { ...axis, space: 88, size: 32, values: (_, ticks) => ticks.map((s) => (s % 60 ? format.clockTime : format.clockMinute)(m.language, s * 1000)) },
          { ...axis, size: (_, texts) => axisWidth(texts), values: (_, ticks) => format.marks(m.language, ticks, m.unit) },
        ],
        series: [
          {},
          {
            stroke: colour("--accent"), width: 2, points: { show: data[0].length < 40, size: 4 },
            gaps: (u, _, from, to) => gaps(u, u.data[0] as number[], from, to),
          },
        ],
        hooks: {
          drawClear: [(u) => span(u, m, colour("--accent-ground"), colour("--accent"))],
          draw: [(u) => limit(u, m, colour("--bad"))],
          setCursor: [(u) => tip(u, m)],
        },
      },
      data, into,
    );
  }

  set(data: Data): void {
    if (this.#chart.data[0] !== data[0]) this.#chart.setData(data);
  }

  size(width: number, height: number): void {
    if (width > 0 && height > 0 && (width !== this.#chart.width || height !== this.#chart.height)) this.#chart.setSize({ width, height });
  }

  destroy(): void {
    this.#chart.destroy();
  }
}

/** Room above and below, and the limit in sight. */
function within(min: number, max: number, at: number | null): [number, number] {
  const low = Math.min(min, at ?? min);
  const high = Math.max(max, at ?? max);
  const room = (high - low || Math.abs(high) || 1) * 0.12;
  return [low - room, high + room];
}

function gaps(u: uPlot, xs: number[], from: number, to: number): uPlot.Series.Gaps {
  if (to - from < 3) return [];
  const steps = xs.slice(from, to + 1).map((x, n, all) => x - (all[n - 1] ?? x)).slice(1).sort((a, b) => a - b);
  const usual = steps[steps.length >> 1] ?? 0;
  const out: uPlot.Series.Gaps = [];
  for (let n = from + 1; n <= to; n += 1) {
    if (xs[n]! - xs[n - 1]! > Math.max(usual * gapSteps, 30)) out.push([Math.round(u.valToPos(xs[n - 1]!, "x", true)), Math.round(u.valToPos(xs[n]!, "x", true))]);
  }
  return out;
}

/** The time that it lasted, behind the curve. */
function span(u: uPlot, m: Marks, ground: string, edge: string): void {
  const { left, top, width, height } = u.bbox;
  const x = (ms: number) => Math.max(left, Math.min(left + width, u.valToPos(ms / 1000, "x", true)));
  const from = x(m.opened);
  const to = m.ended === null ? left + width : x(m.ended);
  u.ctx.save();
  u.ctx.fillStyle = ground;
  u.ctx.fillRect(from, top, Math.max(2, to - from), height);
  u.ctx.fillStyle = edge;
  u.ctx.fillRect(from, top, devicePixelRatio, height);
  if (m.ended !== null) u.ctx.fillRect(to, top, devicePixelRatio, height);
  u.ctx.restore();
}

function limit(u: uPlot, m: Marks, colour: string): void {
  if (m.limit === null) return;
  const y = Math.round(u.valToPos(m.limit, "y", true)) + 0.5;
  u.ctx.save();
  u.ctx.strokeStyle = colour;
  u.ctx.lineWidth = 2 * devicePixelRatio;
  u.ctx.setLineDash([8 * devicePixelRatio, 6 * devicePixelRatio]);
  u.ctx.beginPath();
  u.ctx.moveTo(u.bbox.left, y);
  u.ctx.lineTo(u.bbox.left + u.bbox.width, y);
  u.ctx.stroke();
  u.ctx.restore();
}

/** The value under the pointer, as the chart's own tip. */
function tip(u: uPlot, m: Marks): void {
  const n = u.cursor.idx;
  const at = n === null || n === undefined ? undefined : u.data[0][n];
  const value = n === null || n === undefined ? undefined : u.data[1]![n];
  u.root.title = at === undefined || value === undefined || value === null ? "" : `${format.clockTime(m.language, at * 1000)}  ${format.quantity(m.language, value, m.unit)}`;
}
