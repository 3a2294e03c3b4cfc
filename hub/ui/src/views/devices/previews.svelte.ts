// What a list shows of each device beside its state: a small curve, or the last picture. Fetched for
// the rows that are seen only, many in one request, and again when it has become old.
import { SvelteMap } from "svelte/reactivity";
import { api } from "../../api/client";
import type { Device } from "../../api/types";
import type { components } from "../../api/schema";

type Described = components["schemas"]["Series"];
// The description cannot say of a list that it is never null; the hub's are not.
export type Series = Omit<Described, "at" | "mean" | "low" | "high"> & Record<"at" | "mean" | "low" | "high", number[]>;
export type Picture = components["schemas"]["Picture"];

/** What is needed of a device to ask for its preview. */
export type Previewed = Pick<Device, "kind" | "edge" | "name">;

const keyOf = (d: Previewed): string => `${d.edge}/${d.name}`;

const fresh = 60_000; // ms
const pause = 120; // ms from what is shown to asking for it: what is only scrolled past is not asked for
const round = 5000; // ms between looks at what has become old
const most = 60; // devices in one request
export const hour = 3_600_000; // ms, the length of the small curves

class Previews {
  readonly series = new SvelteMap<string, Series>();
  readonly pictures = new SvelteMap<string, Picture | null>();
  #asked = new Map<string, number>(); // when, by key
  #shown = new Set<readonly Previewed[]>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = 0; // when the timer looks
  #asking = false;

  /** Keeps what belongs to these devices fresh until the returned function is called. */
  show(devices: readonly Previewed[]): () => void {
    this.#shown.add(devices);
    this.#later(pause);
    return () => this.#shown.delete(devices);
  }

  #later(wait: number): void {
    const due = performance.now() + wait;
    // What changes all the time must not put off the next look.
    if (this.#shown.size === 0 || (this.#timer !== undefined && this.#due <= due)) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => void this.#look(), wait);
  }

  /** Asks for what is shown and old, and looks again later as long as anything is shown. */
  async #look(): Promise<void> {
    this.#timer = undefined;
    if (!this.#asking) {
      this.#asking = true;
      await this.#ask();
      this.#asking = false;
    }
    this.#later(round);
  }

  async #ask(): Promise<void> {
    const now = performance.now();
    const old = [...this.#shown].flat().filter((d) => now - (this.#asked.get(keyOf(d)) ?? -Infinity) > fresh);
    const wanted = [...new Map(old.map((d) => [keyOf(d), d.kind]))];
    if (wanted.length === 0) return;
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

export const previews = new Previews();

/** The last picture of a camera that is shown somewhere; reactive. */
export const pictureOf = (camera: { edge: string; device: string }): Picture | null => previews.pictures.get(`${camera.edge}/${camera.device}`) ?? null;
