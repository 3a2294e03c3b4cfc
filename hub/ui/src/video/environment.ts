// What a view needs of the page and of the hub.
import type { Stream } from "./http";
import type { Playback } from "./line";

/** What is needed of an RTCPeerConnection. */
export interface Peer {
  addTransceiver(kind: "video" | "audio", init: { direction: "recvonly" }): RTCRtpTransceiver;
  createOffer(): Promise<RTCSessionDescriptionInit>;
  setLocalDescription(d: RTCSessionDescriptionInit): Promise<void>;
  setRemoteDescription(d: RTCSessionDescriptionInit): Promise<void>;
  getStats(): Promise<RTCStatsReport>;
  close(): void;
  readonly connectionState: RTCPeerConnectionState;
  onconnectionstatechange: ((this: RTCPeerConnection, e: Event) => unknown) | null;
  ontrack: ((this: RTCPeerConnection, e: RTCTrackEvent) => unknown) | null;
}

/** Something at the hub, or at a relay elsewhere. */
export interface Address {
  url: string; // a path at the hub
  credential: string | null; // for a relay; null at the hub, which knows the session
}

/** Where a camera is watched. */
export interface Source {
  whep: Address;
  http: Address; // fragmented MP4
}

export interface Answer {
  location: string; // the view's own address
  sdp: string;
}

/** What a view needs of the page and of the hub. browser.ts has that of a browser, tests/fixtures/page.ts that of tests. */
export interface Environment {
  now: () => number; // ms, never set back
  after: (ms: number, f: () => void) => () => void; // returns what cancels it
  random: () => number; // 0..1
  peer: (servers: RTCIceServer[]) => Peer;
  /** Asks the hub where a camera is watched. A relay's credential is for views that begin soon. Throws ApiError. */
  source: (path: string) => Promise<Source>;
  /** The TURN servers with credentials; empty: there is none. Throws ApiError. */
  servers: (at: Address) => Promise<RTCIceServer[]>;
  offer: (at: Address, sdp: string, signal: AbortSignal) => Promise<Answer>; // throws ApiError
  remove: (view: Address) => Promise<void>; // must reach the hub also while the page is being left; never rejects
  ask: (view: Address) => Promise<void>; // throws ApiError: 410 with the cause when the view has ended
  epoch: () => number; // ms since 1970, this machine's clock
  live: (at: Address, signal: AbortSignal) => Promise<Stream>; // throws ApiError
  /** null: this browser does not play that type; broken is called when it cannot go on */
  playback: (type: string, broken: (why: string) => void) => Playback | null;
  /** Takes one of the connections that may carry video over HTTP. Returns what gives it back; null: all are taken. */
  httpStream: () => (() => void) | null;
}
