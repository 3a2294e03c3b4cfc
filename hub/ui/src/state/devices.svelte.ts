// Every device and edge that the hub knows.
//
// Devices and edges carry no version: what the stream brings while a list is on its way wins over the list.
import { api, path } from "../api/client";
import { type Device, type Edge, type Nearby, type Reading, deviceKey } from "../api/types";
import { Collection } from "./collection.svelte";
import { link } from "./link.svelte";

interface DevicePage {
  devices: Device[];
  next: string | null;
}

const order = { offline: 0, unknown: 1, online: 2 } as const;
const refetchAfter = 2000; // ms after an edge has changed, and up to as much again by chance: many change together
const refetchEvery = 10_000; // ms between the beginnings of two rounds
const few = 3; // edges whose lists are fetched by themselves; of more, all devices are fetched page by page

const natural = new Intl.Collator("en", { numeric: true }); // camera-2 before camera-11

function alphabetic(a: string, b: string): number {
  return a === b ? 0 : natural.compare(a, b) || (a < b ? -1 : 1);
}

function byName(a: Device, b: Device): number {
  return alphabetic(a.edge, b.edge) || alphabetic(a.name, b.name);
}

/** What is silent first, the longest silent first of those. */
export function silentFirst(a: Device, b: Device): number {
  const state = order[a.state] - order[b.state];
  if (state !== 0) return state;
  if (a.state !== "online") return Date.parse(a.since ?? "") - Date.parse(b.since ?? "") || byName(a, b);
  return byName(a, b);
}

/** What changes when the devices of an edge may be others, or in another state, than before. */
const signature = (e: Edge): string => [e.state, e.version, e.inventory].join();

class Devices {
  #all = new Collection<Device>({ key: deviceKey, compare: byName, newer: () => true, batch: 200 });
  #edges = new Collection<Edge>({
    key: (e) => e.name, compare: (a, b) => alphabetic(a.name, b.name), newer: () => true, batch: 200,
  });
  /** whether the lists have been fetched whole */
  loaded = $state(false);
  error: unknown = $state(null);
  #asking = new Set<Set<string>>(); // for each list on its way: what the stream has brought since, by key of a device or name of an edge
  #round = 0;
  #whole = true; // the lists are fetched whole, or will be: nothing is fetched besides
  #listed = new Map<string, string>(); // by edge: its signature before its devices were asked for
  #stale = new Set<string>(); // edges whose devices may be others, or in another state
  #refetched = -Infinity; // when the last round began
  #timer: ReturnType<typeof setTimeout> | undefined; // until the next round

  /** all devices by edge and name; reactive */
  get sorted(): Device[] { return this.#all.sorted; }
  get edges(): Edge[] { return this.#edges.sorted; }
  get size(): number { return this.#all.size; }
  readonly cameras: Device[] = $derived(this.sorted.filter((d) => d.kind === "camera"));
  readonly sensors: Device[] = $derived(this.sorted.filter((d) => d.kind === "sensor"));
  readonly silent: Device[] = $derived(this.sorted.filter((d) => d.state !== "online").sort(silentFirst));

  get(edge: string, name: string): Device | undefined { return this.#all.get(`${edge}/${name}`); }
  edge(name: string): Edge | undefined { return this.#edges.get(name); }

  start(): () => void {
    const ends = [
      link.on("device", (d) => {
        for (const touched of this.#asking) touched.add(deviceKey(d));
        // An event of a changed state carries no reading: the last one stays.
        const reading = d.reading ?? this.#all.peek(deviceKey(d))?.reading;
        this.#all.put(reading ? { ...d, reading } : d);
      }),
      link.on("edge", (e) => {
        for (const touched of this.#asking) touched.add(e.name);
        this.#edges.put(e);
        this.#stale.add(e.name);
        this.#schedule();
      }),
      link.onFresh(() => void this.#load()),
    ];
    return () => {
      for (const end of ends) end();
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#stale.clear();
      this.#listed.clear();
      this.#round += 1;
      this.#all.clear();
      this.#edges.clear();
      this.#whole = true;
      this.loaded = false;
    };
  }

  async #load(): Promise<void> {
    const round = ++this.#round;
    this.#whole = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#stale.clear(); // they are in the list that is fetched now
    const current = () => round === this.#round;
    try {
      // One after the other: what has changed in a device list that is older than the list of edges would not be noticed.
      await this.#listEdges(current);
      if (current()) await this.#list({}, current);
      if (!current()) return;
      this.#edges.flush();
      this.#all.flush();
      this.loaded = true;
      this.error = null;
      this.#whole = false;
      this.#schedule(); // edges that have changed after the hub had read its list
    } catch (error) {
      if (!current()) return;
      this.error = error;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => current() && void this.#load(), 2000 + 2000 * Math.random());
    }
  }

  /** Fetches all edges, and forgets those that are gone. */
  async #listEdges(current: () => boolean): Promise<void> {
    const touched = new Set<string>();
    this.#asking.add(touched);
    try {
      const { edges } = await api.get<{ edges: Edge[] }>("/api/v1/edges");
      if (!current()) return;
      const names = new Set(edges.map((e) => e.name));
      for (const { name } of [...this.#edges.values()]) if (!names.has(name) && !touched.has(name)) this.#edges.remove(name);
      for (const e of edges) if (!touched.has(e.name)) this.#edges.put(e);
    } finally {
      this.#asking.delete(touched);
    }
  }

  /** Fetches all devices, or those of one edge, and forgets those that are gone. */
  async #list(of: { edge?: string }, current: () => boolean): Promise<void> {
    const touched = new Set<string>();
    this.#asking.add(touched);
    const asked = [...this.#edges.values()].filter((e) => !of.edge || e.name === of.edge).map((e) => [e.name, signature(e)] as const);
    try {
      const gone = new Set([...this.#all.values()].filter((d) => !of.edge || d.edge === of.edge).map(deviceKey));
      let next: string | null = null;
      do {
        const p: DevicePage = await api.get<DevicePage>("/api/v1/devices", { query: { ...of, limit: 500, next } });
        if (!current()) return;
        for (const d of p.devices) {
          const key = deviceKey(d);
          gone.delete(key);
          if (!touched.has(key)) this.#all.put(d);
        }
        next = p.next;
      } while (next);
      for (const key of gone) if (!touched.has(key)) this.#all.remove(key);
      for (const [edge, was] of asked) this.#listed.set(edge, was);
    } finally {
      this.#asking.delete(touched);
    }
  }

  /** Has the devices of the edges that have changed fetched soon, together with those of others that change meanwhile. */
  #schedule(): void {
    for (const name of this.#stale) {
      const edge = this.#edges.peek(name);
      if (!edge || signature(edge) === this.#listed.get(name)) this.#stale.delete(name);
    }
    if (this.#whole || this.#stale.size === 0 || this.#timer !== undefined) return;
    const soon = refetchAfter * (1 + Math.random());
    this.#timer = setTimeout(() => void this.#refetch(), Math.max(soon, this.#refetched + refetchEvery - performance.now()));
  }

  /** One round: the lists of a few edges, or all devices, one request after the other. */
  async #refetch(): Promise<void> {
    const round = this.#round;
    const current = () => round === this.#round;
    const edges = [...this.#stale];
    this.#stale.clear();
    this.#refetched = performance.now();
    try {
      if (edges.length > few) await this.#list({}, current);
      else for (const edge of edges) await this.#list({ edge }, current);
    } catch {
      // It needs no message here, the link shows it. The next round asks again.
      if (current()) for (const edge of edges) this.#stale.add(edge);
    }
    if (!current()) return;
    this.#timer = undefined;
    this.#schedule();
  }

  /** The cameras near an incident or a place, best first. */
  nearby(of: { incident: string } | { lat: number; lon: number; radius?: number }, signal?: AbortSignal): Promise<Nearby> {
    return api.get<Nearby>("/api/v1/nearby", { query: { ...of, limit: 20 }, ...(signal && { signal }) });
  }

  /** What a sensor measured, oldest first. */
  async readings(edge: string, name: string, from: Date, to: Date, signal?: AbortSignal): Promise<Reading[]> {
    const answer = await api.get<{ readings: Reading[] }>(path`/api/v1/devices/${edge}/${name}/readings`, {
      query: { from, to, limit: 10_000 }, ...(signal && { signal }),
    });
    return answer.readings;
  }
}

export const devices = new Devices();
