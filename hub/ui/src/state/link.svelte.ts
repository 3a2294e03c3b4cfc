// The live stream, and the truth about it.
//
// What always holds: "live" is shown only while the hub has been heard within the last seconds; the
// stores are subscribed before they fetch their lists, so nothing falls between the two; after a
// break the stream goes on with Last-Event-ID and the history that it belongs to, and what the hub no
// longer keeps ("reset") is fetched anew by all stores. An event counts as seen when all its handlers have run;
// a handler that throws keeps no other one, and no other event, from being handled. The tabs of a browser share a
// stream (tabs.ts): each of them sees every event, or is told that it has missed some, which is a reset.
import { EventParser, type ServerEvent } from "../api/sse";
import type { Device, Edge, Incident, Mute, View } from "../api/types";
import { session } from "./session.svelte";
import { Silence } from "./silence";
import { browserTabs, type Lead, type Message, type Standing, type Tabs } from "./tabs";

export type LinkState = "connecting" | "live" | "reconnecting" | "offline";
/** Why it is not live: no answer at all, silence on an open line, a refusal of the hub, this machine has no network. */
export type LinkCause = "" | "unreachable" | "silent" | "refused" | "network" | "ended";

export interface Events {
  incident: Incident;
  device: Device;
  edge: Edge;
  view: View;
  mute: Mute;
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
  /** the tabs that share a stream; null: this one has its own */
  tabs: (name: string, receive: (m: Message) => void) => Tabs | null;
}

const browser: Outside = {
  fetch: (...a) => fetch(...a), now: () => Date.now(), random: () => Math.random(),
  failed: (error) => console.error("handling an event of the live stream:", error), tabs: browserTabs,
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
  /** how often the stream has been opened since the start, by this tab; at least once where another tab has opened it */
  opened = $state(0);

  #handlers: { [K in keyof Events]: Set<Handler<K>> } = { incident: new Set(), device: new Set(), edge: new Set(), view: new Set(), mute: new Set() };
  #fresh = new Set<() => void>();
  #lastId = "";
  #history = ""; // that #lastId belongs to
  #greeted = ""; // history of the present stream
  #refresh: ReturnType<typeof setTimeout> | undefined;
  #running: AbortController | null = null;
  #line: AbortController | null = null;
  #wake: (() => void) | null = null;
  #tabs: Tabs | null = null;
  #leads = true; // this tab reads the stream
  #leader: Silence | null = null; // of the tab that does, as long as this one follows
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
    this.#tabs?.close();
    this.#tabs = null;
    this.#lastId = "";
    this.#history = "";
    clearTimeout(this.#refresh);
    this.#refresh = undefined;
    this.opened = 0;
    this.state = "connecting";
  }

  /** Tries at once instead of waiting; also what a click on the state does. */
  retry(): void {
    if (this.#leads) this.#wake?.();
    else this.#tabs?.send({ kind: "retry" });
  }

  /** The machine says that its network is gone; it is believed at once, and not waited for when it is back. */
  networkGone(): void {
    this.#lost("network");
    this.#line?.abort();
  }

  async #run(stopped: AbortSignal): Promise<void> {
    // Whoever may see something else has a stream of their own.
    const tabs = this.#outside.tabs(`gridpost.stream ${session.user} ${session.role}`, (m) => this.#receive(m));
    this.#tabs = tabs;
    this.#leads = tabs === null;
    while (tabs) {
      const lead = await this.#follow(tabs, stopped).catch((error: unknown) => { if (!stopped.aborted) this.#outside.failed(error); });
      if (stopped.aborted) return lead?.end();
      if (lead === null) continue;
      this.#leads = true;
      if (!lead) break; // the browser refuses: this tab reads the stream for itself
      await this.#lead(AbortSignal.any([stopped, lead.lost]));
      lead.end();
      if (stopped.aborted) return;
      this.#leads = false;
    }
    await this.#lead(stopped);
  }

  /** Follows the leading tab until this one has the lead; null: it does not answer, and another one will lead. Rejects when it is stopped. */
  async #follow(tabs: Tabs, stopped: AbortSignal): Promise<Lead | null> {
    const queue = new AbortController();
    const end = () => queue.abort();
    stopped.addEventListener("abort", end);
    let stuck = (): void => {};
    const silent = new Promise<null>((resolve) => (stuck = () => resolve(null)));
    const ask = async () => {
      tabs.send({ kind: "ask" });
      await new Promise((done) => setTimeout(done, this.#p.probe));
      return false; // an answer has been heard by then, and this one is not asked for any more
    };
    const leader = (this.#leader = new Silence(this.#p, ask, stuck));
    leader.start();
    tabs.send({ kind: "ask" });
    try {
      const queued = tabs.lead(queue.signal);
      const lead = await Promise.race([queued, silent]);
      if (lead) return lead;
      queued.then((late) => late.end(), () => {}); // it is given up
      end();
      return await tabs.steal();
    } finally {
      leader.stop();
      if (this.#leader === leader) this.#leader = null;
      stopped.removeEventListener("abort", end);
    }
  }

  /** Takes in what another tab sends. */
  #receive(m: Message): void {
    if (this.#leads) {
      if (m.kind === "ask") this.#tell();
      else if (m.kind === "retry") this.retry();
      return;
    }
    if (m.kind === "standing" || m.kind === "event") this.#leader?.heard();
    if (m.kind === "standing") this.#adopt(m.standing);
    else if (m.kind === "event" && this.opened > 0) this.#hear(m);
  }

  /** Tells the other tabs how the link stands. */
  #tell(): void {
    if (!this.#leads) return;
    this.#tabs?.send({
      kind: "standing",
      standing: { state: this.state, cause: this.cause, status: this.status, since: this.since, lastId: this.#lastId, history: this.#history, greeted: this.#greeted },
    });
  }

  #adopt(s: Standing): void {
    [this.state, this.cause, this.status, this.since] = [s.state, s.cause, s.status, s.since];
    if (s.state !== "live") return;
    const first = this.opened === 0;
    if (!first && s.history === this.#history && Number(s.lastId) <= Number(this.#lastId)) return;
    [this.#lastId, this.#history, this.#greeted] = [s.lastId, s.history, s.greeted];
    if (first) {
      this.opened = 1;
      this.#fetchAll();
    } else this.#reset(); // what the leading tab has passed on was not received
  }

  /** Handles an event that the leading tab has passed on. */
  #hear({ event, before, history }: Message & { kind: "event" }): void {
    this.#greeted = history;
    const numbered = event.id !== before;
    if (numbered && before !== this.#lastId && event.name !== "reset") {
      // A tab that takes the lead begins with what it has seen itself: others may have seen more, or less.
      if (this.#history === history && Number(event.id) <= Number(this.#lastId)) return;
      this.#reset();
    }
    this.#take(event);
    if (numbered) this.#seen(event.id);
  }

  /** Reads the stream, again and again. */
  async #lead(stopped: AbortSignal): Promise<void> {
    stopped.addEventListener("abort", () => this.#wake?.(), { once: true });
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
      const first = this.#lastId === ""; // also after a stream that broke before its greeting
      this.opened += 1;
      await this.#readBody(response.body, watch, first);
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

  async #readBody(body: ReadableStream<Uint8Array>, watch: Silence, first: boolean): Promise<void> {
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
        this.#tell();
        // Subscribed first, fetched then: what changes in between arrives by the stream.
        if (first) this.#fetchAll();
      }
      for (const event of parser.push(text.decode(value, { stream: true }))) this.#handle(event);
      if (parser.lastId !== this.#lastId) this.#handle({ id: parser.lastId, name: "", data: "" });
    }
  }

  /** Handles an event of the stream, and passes it on to the other tabs. */
  #handle(event: ServerEvent): void {
    const before = this.#lastId;
    this.#take(event);
    this.#seen(event.id);
    this.#tabs?.send({ kind: "event", event, before, history: this.#greeted });
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
    this.#tell();
  }
}

export const link = new Link();
