// The environment of a browser, and what all tiles of a page share.
import { api, send } from "../api/client";
import type { LiveSource } from "../api/types";
import { HubClock } from "./age";
import { Hub } from "./edge";
import type { Machine } from "./machine";
import { iceServers } from "./ice";
import { Reach } from "./line";
import { MsePlayback } from "./mse";
import type { Address, Environment, Peer } from "./environment";
import { Turns } from "./whep";

const offerWithin = 25_000; // ms; the hub gives a site 10 s to answer and 10 s to send

/** Offers under way at a time. */
export const turns = new Turns(4);

/** The difference between this machine's clock and the hub's. */
export const hubClock = new HubClock();

/** Whether the hub answers, and what stands between each edge and its tiles. */
export const hub = new Hub();

/** Which way the page's video takes. */
export const reach = new Reach("MediaSource" in globalThis);

/** A browser has six connections to a host by HTTP/1.1; the live stream has one, and requests need one. */
const httpStreams = 4;
let httpTaken = 0;

/** The hub's credentials are valid for half an hour. */
const serversFor = 600_000; // ms
const known = new Map<string, { at: number; servers: RTCIceServer[] }>(); // by origin

/** Whether the page came by a version of HTTP whose requests share one connection. */
function shared(): boolean {
  const [page] = performance.getEntriesByType("navigation");
  return ["h2", "h3"].includes((page as PerformanceNavigationTiming | undefined)?.nextHopProtocol ?? "");
}

/** The header with the credential of a relay. */
function authorization(at: Address): Record<string, string> {
  return at.credential === null ? {} : { Authorization: `Bearer ${at.credential}` };
}

/** The address of the view that an answer has begun. It is at the server that has answered: no other one gets the credential. */
function locationOf(r: Response, at: Address): string {
  const path = new URL(r.headers.get("Location") ?? "", r.url).pathname;
  return at.credential === null ? path : new URL(path, at.url).href;
}

export const environment: Environment = {
  now: () => performance.now(),
  after: (ms, f) => {
    const timer = setTimeout(f, ms);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
  peer: (servers) => new RTCPeerConnection(servers.length > 0 ? { iceServers: servers } : undefined) as Peer,
  source: async (path) => {
    const s = await api.get<LiveSource>(path);
    return { whep: { url: s.whep, credential: s.credential }, http: { url: s.fmp4, credential: s.credential } };
  },
  servers: async (at) => {
    const { origin } = new URL(at.url, location.href);
    let k = known.get(origin);
    if (!k || performance.now() - k.at > serversFor) {
      k = { at: performance.now(), servers: iceServers((await send("OPTIONS", at.url, { headers: authorization(at) })).headers.get("Link") ?? "") };
      known.set(origin, k);
    }
    return k.servers;
  },
  offer: async (at, sdp, signal) => {
    const r = await send("POST", at.url, { raw: { text: sdp, type: "application/sdp" }, headers: authorization(at), signal, timeout: offerWithin });
    return { location: locationOf(r, at), sdp: await r.text() };
  },
  // If it does not get through: the hub ends a view by itself when its line falls silent.
  remove: (view) => send("DELETE", view.url, { headers: authorization(view), keepalive: true, timeout: 3000 }).then(() => {}, () => {}),
  ask: async (view) => void (await send("GET", view.url, { headers: authorization(view), timeout: 3000 })),
  epoch: () => performance.timeOrigin + performance.now(),
  live: async (at, signal) => {
    const r = await send("GET", at.url, { headers: authorization(at), signal, timeout: offerWithin, endless: true });
    const reader = r.body!.getReader();
    return {
      location: locationOf(r, at), type: r.headers.get("Content-Type") ?? "",
      read: async () => (await reader.read()).value ?? null,
    };
  },
  playback: (type, broken) => (MediaSource.isTypeSupported(type) ? new MsePlayback(type, broken) : null),
  httpStream: () => {
    if (httpTaken >= httpStreams && !shared()) return null;
    httpTaken += 1;
    let given = false;
    return () => {
      if (!given) httpTaken -= 1;
      given = true;
    };
  },
};

const machines = new Set<Machine>();

function leave(): void {
  for (const m of machines) m.stop();
}

function back(e: PageTransitionEvent): void {
  if (e.persisted) for (const m of machines) m.start();
}

function hide(): void {
  for (const m of machines) m.hidden(document.hidden);
}

/** Ends the views of a page that is left, and begins them again where the browser has kept it. */
export function follow(m: Machine): () => void {
  if (machines.size === 0) {
    addEventListener("pagehide", leave);
    addEventListener("pageshow", back);
    document.addEventListener("visibilitychange", hide);
  }
  machines.add(m);
  m.hidden(document.hidden);
  return () => {
    machines.delete(m);
    if (machines.size > 0) return;
    removeEventListener("pagehide", leave);
    removeEventListener("pageshow", back);
    document.removeEventListener("visibilitychange", hide);
  };
}

const beats = new Set<() => void>();
let beating: ReturnType<typeof setInterval> | undefined;

/** Calls f four times a second, all tiles in one task. */
export function beat(f: () => void): () => void {
  beats.add(f);
  beating ??= setInterval(() => { for (const b of beats) b(); }, 250);
  return () => {
    beats.delete(f);
    if (beats.size > 0) return;
    clearInterval(beating);
    beating = undefined;
  };
}

let measured: Machine | null = null;

/** Counts pictures for the figures (window.__gridpost), if m is the tile that is measured: the first that is live. */
export function count(m: Machine, pictures: number): void {
  if (measured === null) {
    measured = m;
    window.__gridpost = { frames: 0, firstFrameMs: m.firstFrameMs };
  }
  if (measured === m) window.__gridpost!.frames += pictures;
}

export function uncount(m: Machine): void {
  if (measured === m) measured = null;
}
