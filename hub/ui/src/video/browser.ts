// The environment of a browser, and what all tiles of a page share.
import { send } from "../api/client";
import { HubClock } from "./age";
import type { Machine } from "./machine";
import { iceServers } from "./ice";
import { Reach } from "./line";
import { MsePlayback } from "./mse";
import type { Environment, Peer } from "./environment";
import { Turns } from "./whep";

const offerWithin = 25_000; // ms; the hub gives a site 10 s to answer and 10 s to send

/** Offers under way at a time. */
export const turns = new Turns(4);

/** The difference between this machine's clock and the hub's. */
export const hubClock = new HubClock();

/** Which way the page's video takes. */
export const reach = new Reach("MediaSource" in globalThis);

/** A browser has six connections to a host by HTTP/1.1; the live stream has one, and requests need one. */
const httpStreams = 4;
let httpTaken = 0;

/** The hub's credentials are valid for half an hour. */
const serversFor = 600_000; // ms
let known: { at: number; servers: RTCIceServer[] } | null = null;

/** Whether the page came by a version of HTTP whose requests share one connection. */
function shared(): boolean {
  const [page] = performance.getEntriesByType("navigation");
  return ["h2", "h3"].includes((page as PerformanceNavigationTiming | undefined)?.nextHopProtocol ?? "");
}

export const environment: Environment = {
  now: () => performance.now(),
  after: (ms, f) => {
    const timer = setTimeout(f, ms);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
  peer: (servers) => new RTCPeerConnection(servers.length > 0 ? { iceServers: servers } : undefined) as Peer,
  servers: async (path) => {
    if (!known || performance.now() - known.at > serversFor) {
      known = { at: performance.now(), servers: iceServers((await send("OPTIONS", path)).headers.get("Link") ?? "") };
    }
    return known.servers;
  },
  offer: async (path, sdp, signal) => {
    const r = await send("POST", path, { raw: { text: sdp, type: "application/sdp" }, signal, timeout: offerWithin });
    return { location: new URL(r.headers.get("Location") ?? "", r.url).pathname, sdp: await r.text() };
  },
  // If it does not get through: the hub ends a view by itself when its line falls silent.
  remove: (location) => send("DELETE", location, { keepalive: true, timeout: 3000 }).then(() => {}, () => {}),
  ask: async (location) => void (await send("GET", location, { timeout: 3000 })),
  epoch: () => performance.timeOrigin + performance.now(),
  live: async (path, signal) => {
    const r = await send("GET", path, { signal, timeout: offerWithin, endless: true });
    const reader = r.body!.getReader();
    return {
      location: new URL(r.headers.get("Location") ?? "", r.url).pathname, type: r.headers.get("Content-Type") ?? "",
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
