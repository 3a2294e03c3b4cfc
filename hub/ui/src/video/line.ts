// What a view consists of, whichever way its video takes: WebRTC (whep.ts), or fragmented MP4 over HTTP (http.ts) where
// WebRTC does not get through.
import type { Cause } from "./causes";

/** Where a beginning view is: waiting its turn, asking the hub, waiting for the site, setting up the line, waiting for the first picture. */
export type Step = "turn" | "hub" | "site" | "line" | "picture";

/** Plays fragmented MP4. */
export interface Playback {
  /** Shows the video in an element. Returns what ends that. */
  attach: (video: HTMLVideoElement) => () => void;
  append: (bytes: Uint8Array<ArrayBuffer>) => void;
  close: () => void;
}

/** What is shown. */
export type Picture =
  | { way: "webrtc"; track: MediaStreamTrack; audio: MediaStreamTrack | null } // audio is null where the camera sends none that this browser plays
  | { way: "http"; playback: Playback; taken: (mediaTime: number) => number | undefined }; // ms since 1970 by the hub's clock, of a presentation time in s

export interface Events {
  step: (step: Step) => void;
  /** the line stands; receiver is null where the video does not come by WebRTC */
  connected: (receiver: RTCRtpReceiver | null, picture: Picture) => void;
  /** it is over, by no wish of ours */
  ended: (cause: Cause) => void;
}

export interface Line {
  /** when the hub answered, by environment.now; 0 until then. The view's time counts from here. */
  readonly answered: number;
  /** Begins. Everything that happens is told by the events. */
  start(): Promise<void>;
  /** Asks the hub whether the view still goes on. Null if it does or the hub cannot say. */
  check(): Promise<Cause | null>;
  stats(): Promise<RTCStatsReport> | null;
  /** Ends the view here and at the hub. Nothing is told any more. */
  close(): void;
}

export type Way = "webrtc" | "turn" | "http";

/** How long another way is taken after WebRTC did not get through, before it is tried again. */
export const otherFor = 300_000; // ms

/** Which way video takes. One for all tiles of a page: the first one finds out for the others. */
export class Reach {
  /** why WebRTC is not taken; null: it is */
  cause: Cause | null = null;
  #way: Way = "webrtc";
  #until = 0;

  /** possible: this browser plays fragmented MP4. */
  constructor(readonly possible: boolean) {}

  way(now: number): Way {
    if (now >= this.#until) {
      this.#way = "webrtc";
      this.cause = null;
    }
    return this.#way;
  }

  /** Whether another way is tried where this one does not get through. */
  more(way: Way): boolean {
    return way === "webrtc" || (way === "turn" && this.possible);
  }

  /**
   * Takes in why a line ended. Returns whether another way should be tried now: a TURN server of the hub, if it has one,
   * then HTTP.
   */
  failed(way: Way, cause: Cause, now: number): boolean {
    if (!this.more(way) || (cause.code !== "line.never" && cause.code !== "browser")) return false;
    if (way === "webrtc" && cause.code === "browser" && !this.possible) return false;
    this.cause ??= cause;
    // Another tile may have gone further already.
    if (way === this.#way) this.#way = way === "webrtc" && cause.code !== "browser" ? "turn" : "http";
    this.#until = now + otherFor;
    return true;
  }
}
