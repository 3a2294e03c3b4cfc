// For tests: a page whose clock is turned by hand, with peers and a hub that the test answers for.
import { ApiError, type Reason } from "../api/client";
import { HubClock } from "./age";
import { Machine, type State, type Times, times } from "./machine";
import type { Stream } from "./http";
import { Reach } from "./line";
import type { Address, Answer, Environment, Peer, Source } from "./environment";
import { Turns } from "./whep";

export class FakePeer implements Peer {
  connectionState: RTCPeerConnectionState = "new";
  onconnectionstatechange: Peer["onconnectionstatechange"] = null;
  ontrack: Peer["ontrack"] = null;
  closed = false;
  answer = "";
  report = new Map<string, unknown>();
  receiver = { jitterBufferTarget: null as number | null, getSynchronizationSources: (): unknown[] => [] };
  extensions = [{ uri: "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time", direction: "stopped" }];

  addTransceiver(): RTCRtpTransceiver {
    return {
      receiver: this.receiver, getHeaderExtensionsToNegotiate: () => this.extensions.map((x) => ({ ...x })),
      setHeaderExtensionsToNegotiate: (l: { uri: string; direction: string }[]) => { this.extensions = l; },
    } as unknown as RTCRtpTransceiver;
  }
  createOffer = () => Promise.resolve({ type: "offer" as const, sdp: "offer" });
  setLocalDescription = () => Promise.resolve();
  setRemoteDescription(d: RTCSessionDescriptionInit) {
    this.answer = d.sdp ?? "";
    return Promise.resolve();
  }
  getStats = () => Promise.resolve(this.report as unknown as RTCStatsReport);
  close() {
    this.closed = true;
  }
  becomes(s: RTCPeerConnectionState) {
    this.connectionState = s;
    this.onconnectionstatechange?.call(this as never, new Event("connectionstatechange"));
  }
  stands() {
    this.ontrack?.call(this as never, { track: {} } as RTCTrackEvent);
    this.becomes("connected");
  }
}

interface Offer {
  path: string;
  credential: string | null;
  accept: (location?: string) => Promise<void>;
  refuse: (status: number, reason?: Reason | null) => Promise<void>;
}

interface Request {
  path: string;
  credential: string | null;
  aborted: () => boolean;
  accept: (type?: string) => Promise<void>;
  refuse: (status: number, reason?: Reason | null) => Promise<void>;
  send: (bytes: Uint8Array | null) => Promise<void>; // null: the end
}

export const settle = async (): Promise<void> => { for (let i = 0; i < 20; i++) await Promise.resolve(); };

export class FakePage {
  time = 1000;
  peers: FakePeer[] = [];
  offers: Offer[] = [];
  removed: string[] = [];
  asked: string[] = [];
  with: (string | null)[] = []; // credentials of what was removed and asked
  sources: string[] = []; // that were asked for
  relay = ""; // its origin; empty: the camera is watched at the hub
  noSource: ApiError | null = null; // what the hub answers instead of a source
  requests: Request[] = []; // for video over HTTP
  appended = 0; // bytes, to what plays it
  playable = true;
  servers: RTCIceServer[] = []; // TURN servers of the hub
  given = 0; // of them to the newest peer
  free = 1; // connections for video over HTTP
  /** the hub's answer about a view: null means that it goes on */
  ended: { status: number; reason?: Reason; detail?: string } | null = null;
  jitter = 0.5;
  turns = new Turns(4);
  #timers: { at: number; f: () => void }[] = [];

  environment: Environment = {
    now: () => this.time,
    after: (ms, f) => {
      const timer = { at: this.time + ms, f };
      this.#timers.push(timer);
      return () => (this.#timers = this.#timers.filter((t) => t !== timer));
    },
    random: () => this.jitter,
    source: (path) => {
      this.sources.push(path);
      if (this.noSource) return Promise.reject(this.noSource);
      const credential = this.relay ? `credential ${this.sources.length}` : null;
      const [camera, query] = [path.split("/").slice(4, 6).join("/"), path.split("?")[1]];
      return Promise.resolve<Source>({
        whep: { url: `${this.relay}/whep/${camera}?${query}`, credential }, http: { url: `${this.relay}/api/v1/live/${camera}?${query}`, credential },
      });
    },
    servers: () => Promise.resolve(this.servers),
    peer: (servers) => {
      this.given = servers.length;
      this.peers.push(new FakePeer());
      return this.peer;
    },
    offer: (at: Address) => new Promise<Answer>((resolve, reject) => this.offers.push({
      path: at.url, credential: at.credential,
      accept: (location = `/whep/a/b/${this.offers.length}`) => { resolve({ location, sdp: "answer" }); return settle(); },
      refuse: (status, reason = null) => { reject(new ApiError(status, "no", reason?.text, null, false, reason)); return settle(); },
    })),
    remove: (view) => {
      this.removed.push(view.url);
      this.with.push(view.credential);
      return Promise.resolve();
    },
    ask: (view) => {
      this.asked.push(view.url);
      this.with.push(view.credential);
      return this.ended ? Promise.reject(new ApiError(this.ended.status, "", this.ended.detail ?? this.ended.reason?.text, null, false, this.ended.reason ?? null)) : Promise.resolve();
    },
    epoch: () => this.time,
    live: (at, signal) => new Promise<Stream>((resolve, reject) => {
      const chunks: (Uint8Array | null)[] = [];
      let waiting: ((c: Uint8Array | null) => void) | null = null;
      this.requests.push({
        path: at.url, credential: at.credential,
        aborted: () => signal.aborted,
        accept: (type = "video/mp4") => {
          resolve({
            location: `/whep/a/b/http-${this.requests.length}`, type,
            read: () => new Promise((next) => (chunks.length > 0 ? next(chunks.shift()!) : (waiting = next))),
          });
          return settle();
        },
        refuse: (status, reason = null) => { reject(new ApiError(status, "no", reason?.text, null, false, reason)); return settle(); },
        send: (bytes) => {
          if (waiting) waiting(bytes);
          else chunks.push(bytes);
          waiting = null;
          return settle();
        },
      });
    }),
    playback: () => (this.playable ? { attach: () => () => {}, append: (b) => (this.appended += b.length), close: () => {} } : null),
    httpStream: () => {
      if (this.free === 0) return null;
      this.free -= 1;
      return () => (this.free += 1);
    },
  };

  get peer(): FakePeer { return this.peers[this.peers.length - 1]!; }
  get request(): Request { return this.requests[this.requests.length - 1]!; }
  get offer(): Offer { return this.offers[this.offers.length - 1]!; }

  /** Lets time pass, with each timer at its own time. */
  async pass(ms: number): Promise<void> {
    const end = this.time + ms;
    for (;;) {
      const next = this.#timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((t) => t !== next);
      this.time = Math.max(this.time, next.at);
      next.f();
      await settle();
    }
    this.time = end;
  }

  /** Time passes without any timer running: the page stands still. */
  stall(ms: number): void {
    this.time += ms;
  }

  get timers(): number { return this.#timers.length; }
}

/** A tile on such a page. */
export class Bench extends FakePage {
  states: string[] = [];
  tracks = 0;
  machine: Machine;

  constructor(t: Partial<Times> = {}, reach = new Reach(false)) {
    super();
    this.machine = new Machine(this.environment, { source: "/api/v1/devices/a/b/live?reason=test", priority: 0 }, {
      changed: () => this.#note(this.machine.state),
      show: (picture) => (this.tracks += Number(picture !== null)),
    }, this.turns, new HubClock(), reach, { ...times, ...t }, () => 0);
  }

  #note(s: State): void {
    const text = s.name === "connecting" ? `connecting ${s.step}` : "cause" in s ? `${s.name} ${s.cause.code}` : s.name;
    if (this.states[this.states.length - 1] !== text) this.states.push(text);
  }

  get now(): string { return this.states[this.states.length - 1] ?? ""; }

  /** Pictures for so long, one every gap ms. */
  async pictures(ms: number, gap = 40): Promise<void> {
    for (let t = 0; t < ms; t += gap) {
      await this.pass(gap);
      this.machine.frame({});
    }
  }

  /** From nothing to live. */
  async live(): Promise<void> {
    this.machine.start();
    await settle();
    await this.offer.accept();
    this.peer.stands();
    await this.pictures(400);
  }
}
