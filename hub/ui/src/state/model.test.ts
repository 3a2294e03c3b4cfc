// The stores against a simple model of the hub: random events, broken streams, resets, answers that come late and in
// any order or not at all, versions that are old, incidents and devices that are removed. Once the hub has been quiet
// for a while, the console shows what the hub has; and what it shows of an incident never goes back meanwhile.
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Device, Edge, Incident } from "../api/types";
import { deviceKey } from "../api/types";
import { Changed, unlessChanged } from "./conflict";
import { devices } from "./devices.svelte";
import { incidents, worstFirst } from "./incidents.svelte";
import { link } from "./link.svelte";

const seeds = 2000;
const kept = 12; // entries of the feed: who has missed more gets a reset
const severities = ["minor", "moderate", "severe", "extreme"] as const;
const people = ["li", "anna", "kim"] as const;

type Random = (below: number) => number;

function numbers(seed: number): Random {
  let s = seed * 7919 + 1;
  return (below) => (s = (s * 48_271) % 2_147_483_647) % below;
}

interface Entry { id: number; kind: string; data: unknown; first: boolean }

/** The hub: what it has, the feed of what changed, and answers that take a while. */
class Hub {
  incidents = new Map<string, Incident>();
  devices = new Map<string, Device>();
  edges = new Map<string, Edge>();
  feed: Entry[] = [];
  last = 0;
  up = true;
  opened: string[] = []; // by the hub, while the stream stood or was going on with what it had missed
  accepted: Incident[] = []; // what incidents were before the console changed them
  overwritten: string[] = []; // what it should not have changed
  #n = 0;
  #time = Date.parse("2026-05-03T06:00:00Z");
  #streams = new Set<{ at: number; out: ReadableStreamDefaultController<Uint8Array> }>();

  constructor(private readonly random: Random, readonly pages: number) {}

  // What happens.

  #put(i: Incident, first = false): Incident {
    this.#time += 1000;
    const now = { ...i, version: i.version + 1, updated_at: new Date(this.#time).toISOString() };
    this.incidents.set(i.id, now);
    this.#publish("incident", now, first);
    return now;
  }

  #publish(kind: string, data: unknown, first = false): void {
    this.last += 1;
    this.feed.push({ id: this.last, kind, data: structuredClone(data), first });
    if (this.feed.length > kept) this.feed.shift();
    for (const s of this.#streams) this.#send(s);
  }

  opens(): void {
    const id = `i${(this.#n += 1)}`;
    const opened_at = new Date(this.#time - this.random(5000)).toISOString();
    this.opened.push(id);
    this.#put({
      id, edge: "yard", device: "gate", rule: "r", kind: "zone", title: id, severity: severities[this.random(4)]!, state: "open", condition: "open", source: "edge",
      opened_at, received_at: opened_at, updated_at: opened_at, closed_at: null, place: null, count: 1, version: 0, assignee: "", state_by: "", evidence: [],
    } as unknown as Incident, true);
  }

  any(): Incident | undefined { return [...this.incidents.values()][this.random(Math.max(1, this.incidents.size))]; }

  tells(): void {
    const i = this.any();
    if (i) this.#put({ ...i, count: i.count + 1 });
  }

  /** Somebody decides something. Returns the incident afterwards. */
  decide(i: Incident, what: string, who: string): Incident {
    const timeline = [{ at: "", kind: what, who, text: "", occurred_at: "", recorded_at: "" }];
    const after = what === "acknowledge" ? { ...i, state: "acknowledged", state_by: who }
      : what === "assign" ? { ...i, state: "acknowledged", state_by: who, assignee: who }
        : what === "unacknowledge" ? { ...i, state: "open", state_by: "", assignee: "" }
          : what === "close" ? { ...i, state: "closed", state_by: who } : { ...i, state: "acknowledged", state_by: who };
    const now = this.#put(after as Incident);
    return { ...now, timeline };
  }

  decides(who: string): void {
    const i = this.any();
    if (i) this.decide(i, i.state === "closed" ? "reopen" : ["acknowledge", "assign", "close", "unacknowledge"][this.random(4)]!, who);
  }

  /** Retention deletes closed ones; nothing is told of that. */
  deletes(): void {
    for (const i of this.incidents.values()) if (i.state === "closed") { this.incidents.delete(i.id); return; }
  }

  /** Devices of an edge change: told one by one, or, many at once, by the edge alone. */
  changesDevices(): void {
    const name = `e${this.random(3)}`;
    const each = this.random(2) === 0;
    for (let n = 0; n < 3; n += 1) {
      const device = { edge: name, name: `d${n}`, kind: "camera", state: this.random(2) ? "online" : "offline", cause: "", since: null, place: null, rules: [], n: this.random(1000) } as unknown as Device;
      if (this.random(5) === 0) this.devices.delete(deviceKey(device));
      else {
        this.devices.set(deviceKey(device), device);
        if (each) this.#publish("device", device);
      }
    }
    const edge = { name, state: this.random(2) ? "online" : "offline", version: "1", inventory: String(this.last) } as unknown as Edge;
    this.edges.set(name, edge);
    this.#publish("edge", edge);
  }

  removesEdge(): void {
    const name = `e${this.random(3)}`;
    const edge = this.edges.get(name);
    if (!edge) return;
    for (const d of this.devices.values()) if (d.edge === name) this.devices.delete(deviceKey(d));
    this.edges.set(name, { ...edge, state: "offline", inventory: String(this.last) } as unknown as Edge);
    this.#publish("edge", this.edges.get(name));
  }

  breaks(): void {
    for (const s of [...this.#streams]) {
      this.#streams.delete(s);
      s.out.error(new TypeError("gone"));
    }
  }

  // What it answers.

  fetch = async (path: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const url = new URL(String(path), "http://hub");
    const headers = new Headers(init?.headers);
    if (!this.up) throw new TypeError("no");
    if (url.pathname === "/api/v1/stream") return this.#stream(headers.get("Last-Event-ID"), init?.signal ?? null);
    if (url.pathname === "/healthz") return new Response("ok");
    if (url.pathname === "/api/v1/session") return new Response(JSON.stringify({ user: "kim", role: "dispatcher", expires_at: null }));
    await wait(this.random(300)); // the way there
    if (!this.up || this.random(25) === 0) throw new TypeError("no");
    const [status, body] = this.#answer(url, init?.method ?? "GET", headers.get("If-Match"));
    const text = JSON.stringify(body); // as it is now; it arrives later
    await wait(this.random(3) === 0 ? this.random(4000) : this.random(100));
    if (this.random(25) === 0) throw new TypeError("no");
    return new Response(text, { status });
  };

  #stream(last: string | null, signal: AbortSignal | null): Response {
    let s: { at: number; out: ReadableStreamDefaultController<Uint8Array> };
    return new Response(new ReadableStream<Uint8Array>({
      start: (out) => {
        s = { at: last === null ? this.last : Number(last), out };
        this.#streams.add(s);
        write(out, `: welcome\n${last === null ? `id: ${this.last}\n` : ""}event: hello\ndata: {"history":"h"}\n\n`);
        if (s.at < this.last && s.at + 1 < (this.feed[0]?.id ?? 0)) {
          s.at = this.last;
          this.opened = []; // who is told to fetch everything has no alarm for them
          write(out, `id: ${this.last}\nevent: reset\ndata: {}\n\n`);
        }
        this.#send(s);
        signal?.addEventListener("abort", () => { if (this.#streams.delete(s)) out.error(new DOMException("aborted", "AbortError")); });
      },
      cancel: () => void this.#streams.delete(s),
    }));
  }

  #send(s: { at: number; out: ReadableStreamDefaultController<Uint8Array> }): void {
    for (const e of this.feed) {
      if (e.id <= s.at) continue;
      s.at = e.id;
      write(s.out, `id: ${e.id}\nevent: ${e.kind}\ndata: ${JSON.stringify(e.data)}\n\n`);
    }
  }

  #answer(url: URL, method: string, ifMatch: string | null): [number, unknown] {
    if (url.pathname === "/api/v1/edges") return [200, { edges: [...this.edges.values()], next: null }];
    if (url.pathname === "/api/v1/devices") return [200, this.#page(url, "devices", [...this.devices.values()].filter((d) => [null, d.edge].includes(url.searchParams.get("edge"))), deviceKey)];
    const [, id, action] = url.pathname.match(/^\/api\/v1\/incidents\/([^/]+)(?:\/(\w+))?$/) ?? [];
    if (id) {
      const i = this.incidents.get(id);
      if (!i) return [404, {}];
      if (!action) return [200, i];
      if (ifMatch !== `"${i.version}"`) return [412, {}];
      const what = method === "DELETE" ? "unacknowledge" : action;
      if ((what === "reopen") !== (i.state === "closed")) return [409, {}];
      this.accepted.push(i);
      return [200, this.decide(i, what, "me")];
    }
    const ids = url.searchParams.get("ids")?.split(",");
    const state = url.searchParams.get("state");
    const all = [...this.incidents.values()].filter((i) => ids ? ids.includes(i.id) : (state === "closed") === (i.state === "closed"));
    return [200, ids ? { incidents: all, next: null } : this.#page(url, "incidents", all, (i) => i.id)];
  }

  /** A part of a list, by key, so that what comes or goes meanwhile moves nothing else into another part. */
  #page<T>(url: URL, name: string, all: T[], key: (t: T) => string): unknown {
    const from = url.searchParams.get("next") ?? "";
    const rest = all.filter((t) => key(t) > from).sort((a, b) => (key(a) < key(b) ? -1 : 1));
    const some = rest.slice(0, this.pages);
    return { [name]: some, next: rest.length > some.length ? key(some.at(-1)!) : null };
  }
}

function write(out: ReadableStreamDefaultController<Uint8Array>, text: string): void {
  out.enqueue(new TextEncoder().encode(text));
}

const wait = (ms: number) => new Promise((done) => setTimeout(done, ms));
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** Does something to an incident as it is shown; nobody's decision may be overwritten unseen. */
async function act(hub: Hub, random: Random): Promise<void> {
  const seen = incidents.sorted[random(Math.max(1, incidents.sorted.length))];
  if (!seen) return;
  const what = seen.state === "closed" ? "reopen" : (["acknowledge", "assign", "close"] as const)[random(3)]!;
  const change = { acknowledge: incidents.acknowledge, reopen: incidents.reopen, close: incidents.close, assign: (id: string, v: number) => incidents.assign(id, "me", v) }[what];
  hub.accepted = [];
  let refused = false;
  try {
    await unlessChanged(seen, (v) => change.call(incidents, seen.id, v));
  } catch (error) {
    refused = error instanceof Changed; // else it is gone, or out of reach
  }
  for (const before of hub.accepted) {
    if (refused || before.state !== seen.state || before.assignee !== seen.assignee || before.state_by !== seen.state_by) hub.overwritten.push(`${what} ${seen.id}`);
  }
}

it(`is what the hub has, ${seeds} times over`, { timeout: 300_000 }, async () => {
  for (let seed = 1; seed <= seeds; seed += 1) {
    const random = numbers(seed);
    vi.spyOn(Math, "random").mockImplementation(() => random(1000) / 1000);
    const hub = new Hub(random, 2 + random(6));
    vi.stubGlobal("fetch", hub.fetch);
    for (let n = random(12); n > 0; n -= 1) hub.opens();
    hub.changesDevices();
    hub.opened = [];

    const rung: string[] = [];
    const versions = new Map<string, number>();
    const ends = [
      incidents.onArrived((i) => rung.push(i.id)),
      incidents.onChanged((i) => {
        expect(i.version, `seed ${seed}: ${i.id} goes back`).toBeGreaterThanOrEqual(versions.get(i.id) ?? 0);
        versions.set(i.id, i.version);
      }),
      incidents.start(), devices.start(),
    ];
    link.start();
    let acting: Promise<void> | null = null;
    for (let step = 0; step < 30; step += 1) {
      switch (random(12)) {
        case 0: case 1: hub.opens(); break;
        case 2: case 3: hub.tells(); break;
        case 4: case 5: hub.decides(people[random(3)]!); break;
        case 6: hub.deletes(); break;
        case 7: hub.changesDevices(); break;
        case 8: if (random(2)) hub.removesEdge(); break;
        case 9: hub.breaks(); break;
        case 10: acting ??= act(hub, random).finally(() => (acting = null)); break;
        case 11:
          hub.up = false;
          hub.breaks();
          setTimeout(() => (hub.up = true), random(5000));
          for (let n = random(2) ? 20 : 2; n > 0; n -= 1) hub.tells(); // more than it keeps, or not
          break;
      }
      await pass(random(4) === 0 ? random(3000) : random(50));
    }
    await pass(120_000);
    expect(acting).toBeNull();

    const open = [...hub.incidents.values()].filter((i) => i.state !== "closed").sort(worstFirst);
    const shown = incidents.sorted.filter((i) => i.state !== "closed");
    const plain = (all: Incident[]) => all.map((i) => `${i.id} ${i.version} ${i.state} ${i.assignee}`);
    expect(plain(shown), `seed ${seed}`).toEqual(plain(open));
    expect(incidents.sorted, `seed ${seed}`).toEqual([...incidents.sorted].sort(worstFirst));
    expect(devices.sorted.map((d) => JSON.stringify(d)).sort(), `seed ${seed}`).toEqual([...hub.devices.values()].map((d) => JSON.stringify(d)).sort());
    expect(devices.edges.map((e) => JSON.stringify(e)).sort(), `seed ${seed}`).toEqual([...hub.edges.values()].map((e) => JSON.stringify(e)).sort());
    expect(rung.length, `seed ${seed}: each rings once`).toBe(new Set(rung).size);
    expect(hub.overwritten, `seed ${seed}`).toEqual([]);
    link.stop();
    for (const end of ends) end();
    await pass(20_000);
  }
});
