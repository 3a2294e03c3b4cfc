// Which devices are shown, in which groups and order. Pure, but for the language in which causes are searched.
import { type Device, type Edge, deviceKey } from "../../api/types";
import { silentFirst } from "../../state/devices.svelte";
import { deviceWords } from "../../i18n/names";
import { causeOf } from "../../i18n/words";
import { offsets } from "../../ui/virtual";

export const shows = ["all", "silent", "camera", "sensor"] as const;
export type Show = (typeof shows)[number];

export interface Filter {
  text: string;
  show: Show;
  site: string; // an edge's name; "" for all
}

export interface Group {
  kind: "group";
  key: string;
  edge: string;
  record: Edge | undefined;
  count: number;
  silent: number;
}
export interface Row {
  kind: "row";
  key: string;
  device: Device;
}
export type Line = Group | Row;

/** Where each device and each group stood when the order was last made. */
export type Ranks = ReadonlyMap<string, number>;

function words(text: string): string[] {
  return text.toLocaleLowerCase().split(/\s+/).filter(Boolean);
}

/** Whether every word is found in what is known of a device. */
export function matches(d: Device, wanted: string[]): boolean {
  if (wanted.length === 0) return true;
  const known = `${deviceWords(d)} ${d.cause && causeOf(d)} ${d.unit ?? ""}`.toLocaleLowerCase();
  return wanted.every((w) => known.includes(w));
}

function shown(d: Device, f: Filter): boolean {
  if (f.site && d.edge !== f.site) return false;
  if (f.show === "silent") return d.state !== "online";
  return f.show === "all" || d.kind === f.show;
}

/**
 * The lines of the list: sites with something silent first, and in each site what is silent first.
 * With ranks the order is the one that those say (somebody works in the list), and what has none
 * comes at the end of its site.
 */
export function arrange(devices: readonly Device[], edges: readonly Edge[], f: Filter, ranks: Ranks | null): Line[] {
  const wanted = words(f.text);
  const sites = new Map<string, Device[]>();
  for (const d of devices) {
    if (!shown(d, f) || !matches(d, wanted)) continue;
    const site = sites.get(d.edge);
    if (site) site.push(d);
    else sites.set(d.edge, [d]);
  }
  // A site without devices is there all the same: its edge may just be starting.
  const narrowed = f.text.trim() !== "" || f.show !== "all";
  if (!narrowed) for (const e of edges) if (e.state !== "revoked" && (!f.site || f.site === e.name) && !sites.has(e.name)) sites.set(e.name, []);

  const records = new Map(edges.map((e) => [e.name, e]));
  const rank = (key: string) => ranks?.get(key) ?? Infinity;
  const byRank = (a: string, b: string) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b));
  // First the sites whose edge is away, then those where a device is silent.
  const worry = new Map([...sites].map(([edge, own]) => [edge, records.get(edge)?.state === "offline" ? 0 : own.some((d) => d.state !== "online") ? 1 : 2]));
  const names = [...sites.keys()].sort(
    (a, b) => byRank(`site ${a}`, `site ${b}`) || worry.get(a)! - worry.get(b)! || (a < b ? -1 : 1),
  );
  const lines: Line[] = [];
  for (const edge of names) {
    const own = sites.get(edge)!;
    own.sort((a, b) => (ranks ? byRank(deviceKey(a), deviceKey(b)) : 0) || silentFirst(a, b));
    lines.push({ kind: "group", key: `site ${edge}`, edge, record: records.get(edge), count: own.length, silent: own.filter((d) => d.state !== "online").length });
    for (const device of own) lines.push({ kind: "row", key: deviceKey(device), device });
  }
  return lines;
}

export function ranksOf(lines: readonly Line[]): Ranks {
  return new Map(lines.map((l, n) => [l.key, n]));
}

/** The height of everything above each line, and of everything, in px. */
export function tops(lines: readonly Line[], group: number, row: number): Float64Array {
  return offsets(lines.length, (n) => (lines[n]!.kind === "group" ? group : row));
}
