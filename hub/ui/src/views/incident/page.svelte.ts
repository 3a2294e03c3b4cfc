// What the page of one incident knows: the incident with its time line, and the cameras near it.
import { ApiError } from "../../api/client";
import type { Incident, Nearby, Ranked, TimelineEntry } from "../../api/types";
import { devices } from "../../state/devices.svelte";
import { incidents } from "../../state/incidents.svelte";
import { link } from "../../state/link.svelte";

const again = 3000; // ms, after a failure

export class IncidentPage {
  readonly id: string;
  #whole: Incident | null = $state.raw(null);
  #ranked: Nearby | null = $state.raw(null);
  /** why the incident could not be fetched; null when it was */
  error: unknown = $state.raw(null);
  nearbyError: unknown = $state.raw(null);
  #stop = new AbortController();
  #timers = new Set<ReturnType<typeof setTimeout>>();
  #asking = false;
  #askAgain = false;

  constructor(id: string) {
    this.id = id;
  }

  /** The newest that is known, from whichever way it came; null as long as nothing is. */
  readonly incident: Incident | null = $derived.by(() => {
    const listed = incidents.get(this.id);
    if (!listed) return this.#whole;
    return this.#whole && this.#whole.version >= listed.version ? this.#whole : listed;
  });
  readonly timeline: TimelineEntry[] = $derived(this.#whole?.timeline ?? []);
  readonly timelineKnown: boolean = $derived(this.#whole !== null);
  readonly missing: boolean = $derived(this.error instanceof ApiError && this.error.status === 404);

  /** The cameras near it in the hub's order, each with its state as it is now. */
  readonly nearby: Ranked[] | null = $derived.by(() => {
    const list = this.#ranked?.nearby;
    return list?.map((r) => {
      const d = devices.get(r.edge, r.device);
      return d && d.state !== r.state ? { ...r, state: d.state, cause: d.cause } : r;
    }) ?? null;
  });
  readonly sees: boolean = $derived(this.#ranked?.sees ?? false);

  /** Fetches, and goes on doing so when something changes. Returns what ends that. */
  start(): () => void {
    void this.#fetch();
    void this.#rank();
    const ends = [
      incidents.onChanged((i) => { if (i.id === this.id) void this.#fetch(); }),
      link.onFresh(() => { void this.#fetch(); void this.#rank(); }),
      link.on("device", (d) => { if (d.kind === "camera") this.#later("rank", 500, () => void this.#rank()); }),
    ];
    return () => {
      for (const end of ends) end();
      for (const timer of this.#timers) clearTimeout(timer);
      this.#stop.abort();
    };
  }

  #waiting = new Set<string>();
  #later(name: string, ms: number, f: () => void): void {
    if (this.#waiting.has(name)) return;
    this.#waiting.add(name);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#waiting.delete(name);
      f();
    }, ms);
    this.#timers.add(timer);
  }

  async #fetch(): Promise<void> {
    if (this.#asking) {
      this.#askAgain = true;
      return;
    }
    this.#asking = true;
    try {
      const whole = await incidents.fetch(this.id, this.#stop.signal);
      if (!this.#whole || whole.version >= this.#whole.version) this.#whole = whole;
      this.error = null;
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.error = error;
      if (!this.missing) this.#later("fetch", again, () => void this.#fetch());
    } finally {
      this.#asking = false;
    }
    if (this.#askAgain) {
      this.#askAgain = false;
      await this.#fetch();
    }
  }

  /** Takes the answer to one's own action: it has the time line already. */
  take(whole: Incident): void {
    if (whole.timeline && (!this.#whole || whole.version >= this.#whole.version)) this.#whole = whole;
  }

  async #rank(): Promise<void> {
    try {
      this.#ranked = await devices.nearby({ incident: this.id }, this.#stop.signal);
      this.nearbyError = null;
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.nearbyError = error;
      if (!(error instanceof ApiError) || error.status === 0 || error.status >= 500) this.#later("rank", again, () => void this.#rank());
    }
  }
}
