// The live stream, and the truth about it.
//
// What always holds: "live" is shown only while the hub has been heard within the last seconds; the
// stores are subscribed before they fetch their lists, so nothing falls between the two; after a
// break the stream goes on with Last-Event-ID and the history that it belongs to, and what the hub no
// longer keeps ("reset") is fetched anew by all stores. An event counts as seen when all its handlers have run;
// a handler that throws keeps no other one, and no other event, from being handled.
import { EventParser, type ServerEvent } from "../api/sse";
import type { Device, Edge, Incident, View } from "../api/types";
import { session } from "./session.svelte";

export type LinkState = "connecting" | "live" | "reconnecting" | "offline";
/** Why it is not live: no answer at all, silence on an open line, a refusal of the hub, this machine has no network. */
export type LinkCause = "" | "unreachable" | "silent" | "refused" | "network" | "ended";

export interface Events {
  incident: Incident;
  device: Device;
  edge: Edge;
  view: View;
}

type Handler<K extends keyof Events> = (data: Events[K], id: number) => void;

/** How the link waits, in ms. */
export interface Patience {
  silence: number; // without a byte: is the hub still there?
  probe: number; // for the answer to that question
  offlineAfter: number; // of trying, until it is called offline
  pauses: number[]; // between tries
  spread: number; // after a reset, the lists are fetched within this time: all consoles get a reset at once
}

const patience: Patience = { silence: 6000, probe: 3000, offlineAfter: 10_000, pauses: [250, 500, 1000, 2000, 3000], spread: 3000 };

export interface Outside {
  fetch: typeof fetch;
  now: () => number;
  random: () => number;
  /** gets what a handler has thrown */
  failed: (error: unknown) => void;
}

const browser: Outside = {
  fetch: (...a) => fetch(...a), now: () => Date.now(), random: () => Math.random(),
  failed: (error) => console.error("handling an event of the live stream:", error),
};

export class Link {
  state: LinkState = $state("connecting");
  cause: LinkCause = $state("");
  /** HTTP status of a refusal */
  status = $state(0);
  /** since when it is not live, in ms of this machine's clock; 0 while it is */
  since = $state(0);
  /** when the hub was last heard, ms */
  heard = $state(0);
  /** how often the stream has been opened since the start */
  opened = $state(0);

  #handlers: { [K in keyof Events]: Set<Handler<K>> } = { incident: new Set(), device: new Set(), edge: new Set(), view: new Set() };
  #fresh = new Set<() => void>();
  #lastId = "";
  #history = ""; // that #lastId belongs to
  #greeted = ""; // history of the present stream
  #refresh: ReturnType<typeof setTimeout> | undefined;
  #running: AbortController | null = null;
  #line: AbortController | null = null;
  #wake: (() => void) | null = null;
  #p: Patience;
  #outside: Outside;

  constructor(p: Patience = patience, outside: Partial<Outside> = {}) {
    this.#p = p;
    this.#outside = { ...browser, ...outside };
  }

  /** Calls f with each change of a kind. Returns what ends that. */
  on<K extends keyof Events>(kind: K, f: Handler<K>): () => void {
    this.#handlers[kind].add(f);
    return () => this.#handlers[kind].delete(f);
  }

  /** Calls f whenever lists have to be fetched whole: when the stream first stands, and after a reset. */
  onFresh(f: () => void): () => void {
    this.#fresh.add(f);
    return () => this.#fresh.delete(f);
  }

  start(): void {
    if (this.#running) return;
    this.#running = new AbortController();
    this.state = "connecting";
    this.cause = "";
    this.since = this.#outside.now();
    void this.#run(this.#running.signal);
  }

  stop(): void {
    this.#running?.abort();
    this.#running = null;
    this.#line?.abort();
    this.#wake?.();
    this.#lastId = "";
    this.#history = "";
    clearTimeout(this.#refresh);
    this.#refresh = undefined;
    this.opened = 0;
    this.state = "connecting";
  }

  /** Tries at once instead of waiting; also what a click on the state does. */
  retry(): void {
    this.#wake?.();
  }

  /** The machine says that its network is gone; it is believed at once, and not waited for when it is back. */
  networkGone(): void {
    this.#lost("network");
    this.#line?.abort();
  }

  async #run(stopped: AbortSignal): Promise<void> {
    let tries = 0;
    while (!stopped.aborted) {
      const before = this.opened;
      await this.#read(stopped);
      if (stopped.aborted) return;
      tries = this.opened > before ? 0 : tries + 1;
      const pause = this.#p.pauses[Math.min(tries, this.#p.pauses.length - 1)]!;
      await this.#wait(pause * (0.75 + this.#outside.random() / 2));
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#wake = null;
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#wake = done;
    });
  }

  /** One stream, from asking for it to its end. */
  async #read(stopped: AbortSignal): Promise<void> {
    const line = new AbortController();
    this.#line = line;
    const end = () => line.abort();
    stopped.addEventListener("abort", end);
    const watch = new Silence(this.#p, () => this.#probe(line.signal), () => {
      this.#lost("silent");
      line.abort();
    });
    try {
      const headers = new Headers({ Accept: "text/event-stream" });
      if (this.#lastId) headers.set("Last-Event-ID", this.#lastId);
      watch.start();
      const from = this.#lastId && this.#history ? `?history=${encodeURIComponent(this.#history)}` : "";
      const response = await this.#outside.fetch(`/api/v1/stream${from}`, { headers, signal: line.signal, cache: "no-store", credentials: "same-origin" });
      if (!response.ok || !response.body) {
        this.status = response.status;
        this.#lost("refused");
        if (response.status === 401) await session.restore().catch(() => {});
        return;
      }
      const first = this.opened === 0;
      this.opened += 1;
      await this.#follow(response.body, watch, first);
      this.#lost("ended"); // the hub closed it: it stops, or the session is over
    } catch {
      if (!stopped.aborted && !line.signal.aborted) this.#lost(typeof navigator !== "undefined" && navigator.onLine === false ? "network" : "unreachable");
    } finally {
      watch.stop();
      line.abort();
      stopped.removeEventListener("abort", end);
    }
    if (!stopped.aborted && this.cause === "ended") await session.restore().catch(() => {});
  }

  async #follow(body: ReadableStream<Uint8Array>, watch: Silence, first: boolean): Promise<void> {
    const parser = new EventParser(this.#lastId);
    const text = new TextDecoder();
    const reader = body.getReader();
    let greeted = false;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      watch.heard();
      this.heard = this.#outside.now();
      if (!greeted) {
        greeted = true;
        this.state = "live";
        this.cause = "";
        this.status = 0;
        this.since = 0;
        // Subscribed first, fetched then: what changes in between arrives by the stream.
        if (first) this.#fetchAll();
      }
      for (const event of parser.push(text.decode(value, { stream: true }))) {
        this.#take(event);
        this.#seen(event.id);
      }
      this.#seen(parser.lastId);
    }
  }

  /** Continues after this event when the stream is interrupted. */
  #seen(id: string): void {
    if (id === this.#lastId) return;
    this.#lastId = id;
    this.#history = this.#greeted;
  }

  #take(event: ServerEvent): void {
    if (event.name === "reset") return this.#reset();
    this.#guard(() => {
      if (event.name === "hello") {
        this.#greeted = String((JSON.parse(event.data) as { history?: string }).history ?? "");
        return;
      }
      if (!(event.name in this.#handlers)) return;
      const kind = event.name as keyof Events;
      const data = JSON.parse(event.data) as never;
      for (const f of this.#handlers[kind]) this.#guard(() => (f as (data: never, id: number) => void)(data, Number(event.id)));
    });
  }

  /** Has all lists fetched soon; resets until then are one. */
  #reset(): void {
    this.#refresh ??= setTimeout(() => {
      this.#refresh = undefined;
      this.#fetchAll();
    }, this.#p.spread * this.#outside.random());
  }

  #fetchAll(): void {
    for (const f of this.#fresh) this.#guard(f);
  }

  #guard(f: () => void): void {
    try {
      f();
    } catch (error) {
      this.#outside.failed(error);
    }
  }

  /** Whether the hub answers at all, although the stream is silent. */
  async #probe(signal: AbortSignal): Promise<boolean> {
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(this.#p.probe)]);
      const response = await this.#outside.fetch("/healthz", { cache: "no-store", signal: limit });
      return response.ok;
    } catch {
      return false;
    }
  }

  #lost(cause: LinkCause): void {
    const now = this.#outside.now();
    if (this.since === 0) this.since = now;
    this.cause = cause;
    if (this.opened === 0 && now - this.since < this.#p.offlineAfter) this.state = "connecting";
    else this.state = now - this.since >= this.#p.offlineAfter ? "offline" : "reconnecting";
  }
}

/** Notices that nothing has come for a while, asks once, and gives up if there is no answer. */
class Silence {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #round = 0;

  constructor(
    private readonly p: Patience,
    private readonly ask: () => Promise<boolean>,
    private readonly giveUp: () => void,
  ) {}

  start(): void {
    this.heard();
  }

  heard(): void {
    this.#round += 1;
    const round = this.#round;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      const there = await this.ask();
      if (round !== this.#round) return;
      if (there) this.heard();
      else this.giveUp();
    }, this.p.silence);
  }

  stop(): void {
    this.#round += 1;
    clearTimeout(this.#timer);
  }
}

export const link = new Link();
