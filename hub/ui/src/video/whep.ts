// One view of a camera by WHEP: the offer by POST, the hub's answer, the line, DELETE at the end.
// What always holds: a view that the hub has begun is ended at the hub, also when its answer comes
// after it was given up. It knows nothing of pages: its environment is handed in.
import { ApiError } from "../api/client";
import { type Cause, causeOfAnswer } from "./causes";
import type { Address, Answer, Environment, Peer } from "./environment";
import type { Events, Line } from "./line";
import { Resource } from "./resource";

/** After this time without an answer it is the site that is waited for: the hub itself answers at once. */
export const siteAfter = 400; // ms
/** From the hub's answer until the line must stand. */
export const lineWithin = 15_000; // ms
/** The same where there is another way to try. */
export const lineSooner = 6000; // ms

const captureTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";

/** At most so many offers are under way at once: a browser has six connections to a host, and the live stream has one. */
export class Turns {
  #free: number;
  #waiting: { priority: number; go: () => void }[] = [];

  constructor(most: number) {
    this.#free = most;
  }

  /** Waits for a turn, the lowest priority first. Resolves to what gives it back. */
  take(priority: number, signal: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      let back = false;
      const give = () => {
        if (back) return;
        back = true;
        this.#free += 1;
        this.#next();
      };
      const entry = { priority, go: () => { signal.removeEventListener("abort", away); resolve(give); } };
      const away = () => {
        this.#waiting = this.#waiting.filter((w) => w !== entry);
        reject(signal.reason);
      };
      if (signal.aborted) return reject(signal.reason);
      signal.addEventListener("abort", away, { once: true });
      const at = this.#waiting.findIndex((w) => w.priority > priority);
      this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, entry);
      this.#next();
    });
  }

  #next(): void {
    if (this.#free === 0) return;
    const first = this.#waiting.shift();
    if (!first) return;
    this.#free -= 1;
    first.go();
  }
}

export class Whep implements Line {
  /** when the hub answered, by environment.now; 0 until then. The view's time counts from here. */
  answered = 0;
  readonly #resource: Resource;
  #peer: Peer | null = null;
  #receiver: RTCRtpReceiver | null = null;
  #track: MediaStreamTrack | null = null;
  #audio: MediaStreamTrack | null = null;
  #stop = new AbortController();
  #timers: (() => void)[] = [];
  #over = false;
  #stood = false;

  constructor(
    private readonly environment: Environment,
    private readonly source: string, // where the hub says where the camera is watched
    private readonly events: Events,
    private readonly turns: Turns,
    private readonly priority: number,
    private readonly within = lineWithin,
    private readonly relayed = false, // by a TURN server of the hub
  ) {
    this.#resource = new Resource(environment);
  }

  /** Begins. Everything that happens is told by the events. */
  async start(): Promise<void> {
    this.events.step("turn");
    let turn: (() => void) | null = null;
    let at: Address | null = null;
    try {
      turn = await this.turns.take(this.priority, this.#stop.signal);
      at = (await this.environment.source(this.source)).whep;
      if (this.#over) return;
      const servers = this.relayed ? await this.environment.servers(at) : [];
      if (this.#over) return;
      if (this.relayed && servers.length === 0) return this.#end({ code: "line.never" });
      const peer = this.#open(servers);
      const offer = await peer.createOffer();
      await peer.setLocalDescription(offer);
      if (this.#over) return;
      const answer = await this.#ask(at, offer.sdp ?? "");
      turn();
      const view = { url: answer.location, credential: at.credential };
      if (this.#over) return void this.environment.remove(view); // it was given up meanwhile
      this.#resource.begin(view);
      this.answered = this.environment.now();
      this.events.step("line");
      this.#wait(this.within, () => !this.#stood && this.#end({ code: "line.never" }));
      await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    } catch (error) {
      if (this.#over) return;
      this.#end(error instanceof ApiError ? causeOfAnswer(error, at) : { code: "browser", detail: error instanceof Error ? error.message : String(error) });
    } finally {
      turn?.();
    }
  }

  #open(servers: RTCIceServer[]): Peer {
    const peer = this.environment.peer(servers);
    this.#peer = peer;
    const transceiver = peer.addTransceiver("video", { direction: "recvonly" });
    this.#receiver = transceiver.receiver;
    wantCaptureTime(transceiver);
    peer.addTransceiver("audio", { direction: "recvonly" });
    peer.ontrack = (e) => {
      if (e.track.kind === "audio") this.#audio = e.track;
      else this.#track = e.track;
      this.#stands();
    };
    peer.onconnectionstatechange = () => this.#changed();
    return peer;
  }

  /** Asks the hub. The request says what it is for; what takes longer than the hub itself is the site. */
  async #ask(at: Address, sdp: string): Promise<Answer> {
    this.events.step("hub");
    const waiting = this.#wait(siteAfter, () => this.events.step("site"));
    try {
      // The answer is waited for also when the view is given up: its address is needed to end it.
      return await this.environment.offer(at, sdp, new AbortController().signal);
    } finally {
      waiting();
    }
  }

  #changed(): void {
    if (this.#over || !this.#peer) return;
    switch (this.#peer.connectionState) {
      case "connected":
        this.#stood = true;
        this.#stands();
        return;
      case "failed":
        void this.#why({ code: this.#stood ? "line.lost" : "line.never" });
        return;
      case "closed":
        void this.#why({ code: "line.closed" });
    }
  }

  #stands(): void {
    if (this.#over || !this.#stood || !this.#track || !this.#receiver) return;
    if ("jitterBufferTarget" in this.#receiver) this.#receiver.jitterBufferTarget = 0;
    this.events.step("picture");
    this.events.connected(this.#receiver, { way: "webrtc", track: this.#track, audio: this.#audio });
  }

  /** The line is gone; the hub may know why. */
  async #why(otherwise: Cause): Promise<void> {
    const cause = await this.check();
    if (!this.#over) this.#end(cause ?? otherwise);
  }

  check(): Promise<Cause | null> {
    return this.#resource.check();
  }

  stats(): Promise<RTCStatsReport> | null {
    return this.#over ? null : (this.#peer?.getStats() ?? null);
  }

  #wait(ms: number, f: () => void): () => void {
    const cancel = this.environment.after(ms, () => !this.#over && f());
    this.#timers.push(cancel);
    return cancel;
  }

  #end(cause: Cause): void {
    this.close();
    this.events.ended(cause);
  }

  /** Ends the view here and at the hub. Nothing is told any more. */
  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#stop.abort();
    for (const cancel of this.#timers) cancel();
    const peer = this.#peer;
    if (peer) peer.ontrack = peer.onconnectionstatechange = null;
    this.#resource.end(() => peer?.close());
  }
}

/** Asks that every picture says when it was taken; browsers that do not know how do without. */
function wantCaptureTime(t: RTCRtpTransceiver): void {
  const all = t as RTCRtpTransceiver & {
    getHeaderExtensionsToNegotiate?: () => { uri: string; direction: string }[];
    setHeaderExtensionsToNegotiate?: (list: { uri: string; direction: string }[]) => void;
  };
  const list = all.getHeaderExtensionsToNegotiate?.();
  const wanted = list?.find((x) => x.uri === captureTime);
  if (!list || !wanted) return;
  wanted.direction = "sendrecv";
  all.setHeaderExtensionsToNegotiate?.(list);
}
