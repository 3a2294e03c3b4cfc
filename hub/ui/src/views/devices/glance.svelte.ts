// What a list shows of each device beside its state: a small curve, or the last picture. Fetched for
// the rows that are seen only, many in one request, and again when it has become old.
import { SvelteMap } from "svelte/reactivity";
import { api } from "../../api/client";
import type { Device } from "../../api/types";
import { deviceKey } from "../../api/types";
import type { components } from "../../api/schema";

type Told = components["schemas"]["Series"];
// The description cannot say of a list that it is never null; the hub's are not.
export type Series = Omit<Told, "at" | "mean" | "low" | "high"> & Record<"at" | "mean" | "low" | "high", number[]>;
export type Picture = components["schemas"]["Picture"];

const fresh = 60_000; // ms
const most = 60; // devices in one request
export const hour = 3_600_000; // ms, the length of the small curves

class Glance {
  readonly series = new SvelteMap<string, Series>();
  readonly pictures = new SvelteMap<string, Picture | null>();
  #asked = new Map<string, number>(); // when, by key
  #waiting = new Map<string, "camera" | "sensor">();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Says what is seen. */
  want(devices: readonly Device[]): void {
    const now = performance.now();
    for (const d of devices) {
      const key = deviceKey(d);
      if (now - (this.#asked.get(key) ?? -Infinity) > fresh) this.#waiting.set(key, d.kind);
    }
    if (this.#waiting.size === 0 || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => void this.#ask(), 120); // what is only scrolled past is asked for once
  }

  /** Forgets what was only scrolled past. */
  drop(keep: ReadonlySet<string>): void {
    for (const key of this.#waiting.keys()) if (!keep.has(key)) this.#waiting.delete(key);
  }

  async #ask(): Promise<void> {
    this.#timer = undefined;
    const wanted = [...this.#waiting];
    this.#waiting.clear();
    const now = performance.now();
    for (const [key] of wanted) this.#asked.set(key, now);
    const of = (kind: string) => wanted.filter(([, k]) => k === kind).map(([key]) => key);
    try {
      for (const keys of parts(of("sensor"))) {
        const got = await api.get<{ series: Series[] }>("/api/v1/series", { query: { of: keys.join(","), points: 60 } });
        for (const s of got.series) this.series.set(`${s.edge}/${s.device}`, s);
      }
      for (const keys of parts(of("camera"))) {
        const got = await api.get<{ pictures: Picture[] }>("/api/v1/pictures", { query: { of: keys.join(",") } });
        const found = new Map(got.pictures.map((p) => [`${p.edge}/${p.device}`, p]));
        for (const key of keys) {
          const p = found.get(key) ?? null;
          if (this.pictures.get(key)?.url !== p?.url || !this.pictures.has(key)) this.pictures.set(key, p);
        }
      }
    } catch {
      // The link says that the hub is away; the rows keep what they have and ask again soon.
      for (const [key] of wanted) this.#asked.set(key, performance.now() - fresh + 5000);
    }
  }
}

function* parts(keys: string[]): Generator<string[]> {
  for (let i = 0; i < keys.length; i += most) yield keys.slice(i, i + most);
}

export const glance = new Glance();
