// One view of a camera by WHEP: the offer by POST, the hub's answer, the line, DELETE at the end.
// What always holds: a view that the hub has begun is ended at the hub, also when its answer comes
// after it was given up. It knows nothing of pages; its doors to the world are handed in.
import { ApiError } from "../api/client";
import { type Cause, causeOfAnswer, causeOfEnd } from "./causes";

/** What is needed of an RTCPeerConnection. */
export interface Peer {
  addTransceiver(kind: "video", init: { direction: "recvonly" }): RTCRtpTransceiver;
  createOffer(): Promise<RTCSessionDescriptionInit>;
  setLocalDescription(d: RTCSessionDescriptionInit): Promise<void>;
  setRemoteDescription(d: RTCSessionDescriptionInit): Promise<void>;
  getStats(): Promise<RTCStatsReport>;
  close(): void;
  readonly connectionState: RTCPeerConnectionState;
  onconnectionstatechange: ((this: RTCPeerConnection, e: Event) => unknown) | null;
  ontrack: ((this: RTCPeerConnection, e: RTCTrackEvent) => unknown) | null;
}

export interface Answer {
  location: string; // the view's own address
  sdp: string;
}

/** The world, as tests replace it. */
export interface Doors {
  now: () => number; // ms, never set back
  after: (ms: number, f: () => void) => () => void; // returns what cancels it
  random: () => number; // 0..1
  peer: () => Peer;
  offer: (path: string, sdp: string, signal: AbortSignal) => Promise<Answer>; // throws ApiError
  remove: (location: string) => Promise<void>; // must reach the hub also while the page is being left; never rejects
  ask: (location: string) => Promise<void>; // throws ApiError: 410 with the cause when the view has ended
}

/** Where a beginning view is: waiting its turn, asking the hub, waiting for the site, setting up the line, waiting for the first picture. */
export type Step = "turn" | "hub" | "site" | "line" | "picture";

export interface Events {
  step: (step: Step) => void;
  /** the line stands */
  connected: (receiver: RTCRtpReceiver, track: MediaStreamTrack) => void;
  /** it is over, by no wish of ours */
  ended: (cause: Cause) => void;
}

/** After this time without an answer it is the site that is waited for: the hub itself answers at once. */
export const siteAfter = 400; // ms
/** From the hub's answer until the line must stand. */
export const lineWithin = 15_000; // ms

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

export class Whep {
  /** when the hub answered, by doors.now; 0 until then. The view's time counts from here. */
  answered = 0;
  #location = "";
  #peer: Peer | null = null;
  #receiver: RTCRtpReceiver | null = null;
  #track: MediaStreamTrack | null = null;
  #stop = new AbortController();
  #timers: (() => void)[] = [];
  #over = false;
  #stood = false;

  constructor(
    private readonly doors: Doors,
    private readonly path: string,
    private readonly events: Events,
    private readonly turns: Turns,
    private readonly priority: number,
  ) {}

  /** Begins. Everything that happens is told by the events. */
  async start(): Promise<void> {
    this.events.step("turn");
    let turn: (() => void) | null = null;
    try {
      turn = await this.turns.take(this.priority, this.#stop.signal);
      const peer = this.#open();
      const offer = await peer.createOffer();
      await peer.setLocalDescription(offer);
      if (this.#over) return;
      const answer = await this.#ask(offer.sdp ?? "");
      turn();
      if (this.#over) return void this.doors.remove(answer.location); // it was given up meanwhile
      this.#location = answer.location;
      this.answered = this.doors.now();
      this.events.step("line");
      this.#wait(lineWithin, () => !this.#stood && this.#end({ code: "line.never" }));
      await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    } catch (error) {
      if (this.#over) return;
      this.#end(error instanceof ApiError ? causeOfAnswer(error) : { code: "browser", detail: error instanceof Error ? error.message : String(error) });
    } finally {
      turn?.();
    }
  }

  #open(): Peer {
    const peer = this.doors.peer();
    this.#peer = peer;
    const transceiver = peer.addTransceiver("video", { direction: "recvonly" });
    this.#receiver = transceiver.receiver;
    wantCaptureTime(transceiver);
    peer.ontrack = (e) => {
      this.#track = e.track;
      this.#stands();
    };
    peer.onconnectionstatechange = () => this.#changed();
    return peer;
  }

  /** Asks the hub. The request says what it is for; what takes longer than the hub itself is the site. */
  async #ask(sdp: string): Promise<Answer> {
    this.events.step("hub");
    const waiting = this.#wait(siteAfter, () => this.events.step("site"));
    try {
      // The answer is waited for also when the view is given up: its address is needed to end it.
      return await this.doors.offer(this.path, sdp, new AbortController().signal);
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
    this.events.connected(this.#receiver, this.#track);
  }

  /** The line is gone; the hub may know why. */
  async #why(otherwise: Cause): Promise<void> {
    const cause = await this.check();
    if (!this.#over) this.#end(cause ?? otherwise);
  }

  /** Asks the hub whether the view still goes on. Null if it does or the hub cannot say. */
  async check(): Promise<Cause | null> {
    if (!this.#location) return null;
    try {
      await this.doors.ask(this.#location);
      return null;
    } catch (error) {
      if (!(error instanceof ApiError)) return null;
      if (error.status === 410) {
        this.#location = ""; // nothing is left to be ended
        return causeOfEnd(error.detail);
      }
      if (error.status === 404) {
        this.#location = "";
        return { code: "hub.forgot" }; // it was started anew
      }
      return error.status === 0 || error.status === 401 ? causeOfAnswer(error) : null;
    }
  }

  stats(): Promise<RTCStatsReport> | null {
    return this.#over ? null : (this.#peer?.getStats() ?? null);
  }

  #wait(ms: number, f: () => void): () => void {
    const cancel = this.doors.after(ms, () => !this.#over && f());
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
    // The hub hears it first by the request, so that its record says who ended the view.
    if (this.#location) void this.doors.remove(this.#location).then(() => peer?.close());
    else peer?.close();
    this.#location = "";
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
