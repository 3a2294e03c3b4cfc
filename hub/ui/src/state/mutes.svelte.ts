// Rules that are muted: their incidents raise no alarm, and those that nobody has taken are out of the list.
// There are few of them, and each ends within a day.
import { api, path } from "../api/client";
import type { Incident, Mute } from "../api/types";
import { clock } from "./clock.svelte";
import { link } from "./link.svelte";

/** A rule of a device. */
export interface RuleOf {
  edge: string;
  device: string;
  rule: string;
}

const keyOf = (r: RuleOf): string => `${r.edge}/${r.device}/${r.rule}`;
const again = 3000; // ms, after a failure

export class Mutes {
  #all: ReadonlyMap<string, Mute> = $state.raw(new Map());
  /** false as long as the list has not been fetched: then an incident says itself whether its rule is muted */
  loaded = $state(false);
  /** why the last fetch failed; null when it did not */
  error: unknown = $state.raw(null);
  /** the rule that somebody is about to mute; null: nobody is */
  asked: RuleOf | null = $state.raw(null);
  #changed: Set<string> | null = null; // rules that have changed while the list was fetched
  #round = 0;
  #end: ReturnType<typeof setTimeout> | undefined;

  /** The mutes in force, the one that ends first before the others. */
  readonly all: readonly Mute[] = $derived([...this.#all.values()].sort((a, b) => Date.parse(a.until) - Date.parse(b.until) || (a.id < b.id ? -1 : 1)));

  /** The mute of a rule that is in force. */
  of(r: RuleOf): Mute | undefined {
    return this.#all.size > 0 ? this.#all.get(keyOf(r)) : undefined;
  }

  /** Whether an incident is out of the list: its rule is muted and nobody has taken it. */
  hides(i: Incident): boolean {
    if (i.state !== "open") return false;
    if (this.loaded) return this.of(i) !== undefined;
    return i.muted_until !== undefined && Date.parse(i.muted_until) > clock.exact();
  }

  /** Follows the live stream. Returns what ends that and forgets everything. */
  start(): () => void {
    const ends = [
      link.on("mute", (m) => this.#put(m)),
      link.onFresh(() => void this.#load()),
    ];
    return () => {
      for (const end of ends) end();
      this.#round += 1;
      this.#set(new Map());
      this.loaded = false;
      this.asked = null;
    };
  }

  /** Mutes a rule for some minutes; everybody can see why. */
  async mute(r: RuleOf, minutes: number, reason: string): Promise<Mute> {
    const m = await api.post<Mute>("/api/v1/mutes", { edge: r.edge, device: r.device, rule: r.rule, minutes, reason });
    this.#put(m);
    return m;
  }

  async end(m: Mute): Promise<void> {
    await api.delete(path`/api/v1/mutes/${m.id}`);
    if (this.of(m)?.id === m.id) this.#put({ ...m, ended_at: new Date(clock.exact()).toISOString() });
  }

  #put(m: Mute): void {
    this.#changed?.add(keyOf(m));
    const next = new Map(this.#all);
    if (m.ended_at || Date.parse(m.until) <= clock.exact()) next.delete(keyOf(m));
    else next.set(keyOf(m), m);
    this.#set(next);
  }

  /** The mutes in force from now on, each until its time. */
  #set(all: ReadonlyMap<string, Mute>): void {
    clearTimeout(this.#end);
    this.#all = all;
    const ends = [...all.values()].map((m) => Date.parse(m.until));
    if (ends.length === 0) return;
    this.#end = setTimeout(() => this.#set(new Map([...this.#all].filter(([, m]) => Date.parse(m.until) > clock.exact()))), Math.max(1, Math.min(...ends) - clock.exact()));
  }

  async #load(): Promise<void> {
    const round = ++this.#round;
    const changed = new Set<string>();
    this.#changed = changed;
    try {
      const all = new Map<string, Mute>();
      let next: string | undefined;
      do {
        const p = await api.get<{ mutes: Mute[]; next: string | null }>("/api/v1/mutes", { query: { limit: 500, next } });
        if (round !== this.#round) return;
        for (const m of p.mutes) all.set(keyOf(m), m);
        next = p.next ?? undefined;
      } while (next);
      for (const key of changed) {
        const m = this.#all.get(key);
        if (m) all.set(key, m);
        else all.delete(key);
      }
      this.#set(all);
      this.loaded = true;
      this.error = null;
      this.#changed = null;
    } catch (error) {
      if (round !== this.#round) return;
      this.error = error;
      setTimeout(() => round === this.#round && void this.#load(), again * (1 + Math.random()));
    }
  }
}

export const mutes = new Mutes();
