// Every device and edge that the hub knows.
//
// Devices carry no version: what the stream brings while a list is on its way wins over the list.
import { api, path } from "../api/client";
import { type Device, type Edge, type Nearby, type Reading, deviceKey } from "../api/types";
import { Collection } from "./collection.svelte";
import { link } from "./link.svelte";

interface DevicePage {
  devices: Device[];
  next: string | null;
}

const order = { offline: 0, unknown: 1, online: 2 } as const;
const refetchEvery = 30_000; // ms, an edge's list after the edge has changed

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

class Devices {
  #all = new Collection<Device>({ key: deviceKey, compare: byName, newer: () => true, batch: 200 });
  #edges = new Collection<Edge>({
    key: (e) => e.name, compare: (a, b) => alphabetic(a.name, b.name), newer: () => true, batch: 200,
  });
  /** whether the lists have been fetched whole */
  loaded = $state(false);
  error: unknown = $state(null);
  #asking = new Set<Set<string>>(); // for each list on its way: what the stream has brought since
  #round = 0;
  #refetched = new Map<string, number>();
  #timers = new Set<ReturnType<typeof setTimeout>>();

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
        this.#all.put(d);
      }),
      link.on("edge", (e) => {
        this.#edges.put(e);
        this.#again(e.name);
      }),
      link.onFresh(() => void this.#load()),
    ];
    return () => {
      for (const end of ends) end();
      for (const timer of this.#timers) clearTimeout(timer);
      this.#timers.clear();
      this.#refetched.clear();
      this.#round += 1;
      this.#all.clear();
      this.#edges.clear();
      this.loaded = false;
    };
  }

  async #load(): Promise<void> {
    const round = ++this.#round;
    try {
      const edges = api.get<{ edges: Edge[] }>("/api/v1/edges");
      await this.#list({}, () => round === this.#round);
      const told = (await edges).edges;
      if (round !== this.#round) return;
      const names = new Set(told.map((e) => e.name));
      for (const e of [...this.#edges.values()]) if (!names.has(e.name)) this.#edges.remove(e.name);
      for (const e of told) this.#edges.put(e);
      this.#edges.flush();
      this.#all.flush();
      this.loaded = true;
      this.error = null;
    } catch (error) {
      if (round !== this.#round) return;
      this.error = error;
      const timer = setTimeout(() => round === this.#round && void this.#load(), 3000);
      this.#timers.add(timer);
    }
  }

  /** Fetches all devices, or those of one edge, and forgets those that are gone. */
  async #list(of: { edge?: string }, current: () => boolean): Promise<void> {
    const touched = new Set<string>();
    this.#asking.add(touched);
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
    } finally {
      this.#asking.delete(touched);
    }
  }

  /** An edge's inventory may have changed; its list is fetched again, but not at every beat. */
  #again(edge: string): void {
    const last = this.#refetched.get(edge) ?? -Infinity;
    if (!this.loaded || last > performance.now()) return; // one is on its way
    const wait = Math.max(2000, last + refetchEvery - performance.now());
    this.#refetched.set(edge, performance.now() + wait);
    const round = this.#round;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      // A failure needs no words here: the link says it, and its return fetches everything.
      if (round === this.#round) void this.#list({ edge }, () => round === this.#round).catch(() => {});
    }, wait);
    this.#timers.add(timer);
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
