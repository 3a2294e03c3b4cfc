// How old the picture is that is seen. Every picture says when it was taken, by the hub's clock; the
// hub's sender reports say what its clock shows, so this machine's own clock does not have to be right.
// Where a browser or a hub does not tell, the age counts from when the picture came, and says so.

/** 1970 minus 1900 in ms: NTP counts from 1900. */
const ntpEpoch = 2_208_988_800_000;
const kept = 30; // reports whose shortest way is used
const clockRate = 90; // RTP ticks in a ms

/** What getSynchronizationSources says of the picture shown last, as far as it is known. */
export interface Source {
  rtpTimestamp: number;
  captureTimestamp?: number; // ms by NTP, the sender's clock
}

export interface Frame {
  taken?: number; // ms since 1970 by the hub's clock
  captureTime?: number; // ms, of the page's clock
  receiveTime?: number;
  rtpTimestamp?: number;
  presentedFrames?: number; // counts all that were shown, also those that we were not told of
}

/** When a picture was taken or, where that is not known, received; ms of the page's clock (performance.now). */
export interface Moment {
  at: number;
  kind: "taken" | "received";
}

/** The difference of two RTP time stamps, which run over, in ms. */
export function rtpDifference(a: number, b: number): number {
  return ((a - b) | 0) / clockRate;
}

/** How far this machine's clock is ahead of the hub's. One for all tiles. */
export class HubClock {
  /** when it last learned something, ms of the caller's clock */
  heard = -Infinity;
  #reports: number[] = []; // this machine's clock at a report's arrival minus the hub's in it, ms
  #last = 0;
  #trip = 0; // ms, there and back

  /** Takes in what getStats knows of the hub's clock and of the way to it. */
  stats(report: Iterable<[string, unknown]>, now: number): void {
    let here = 0;
    let there = 0;
    for (const [, value] of report) {
      const s = value as { type?: string; timestamp?: number; remoteTimestamp?: number; state?: string; nominated?: boolean; currentRoundTripTime?: number };
      if (s.type === "remote-outbound-rtp" && s.remoteTimestamp) [here, there] = [s.timestamp ?? 0, s.remoteTimestamp];
      if (s.type === "candidate-pair" && s.state === "succeeded" && s.nominated) this.#trip = (s.currentRoundTripTime ?? 0) * 1000;
    }
    if (!there || there === this.#last) return;
    this.#last = there;
    this.heard = now;
    this.#reports.push(here - there);
    if (this.#reports.length > kept) this.#reports.shift();
  }

  /** ms; null while it is not known */
  get ahead(): number | null {
    // The report that came the fastest way tells best; half the round trip is that way.
    return this.#reports.length === 0 ? null : Math.min(...this.#reports) - this.#trip / 2;
  }
}

/** The pictures of one line. */
export class Ages {
  #known: { rtp: number; at: number; steady: boolean } | null = null;

  /** origin: the page's clock at 0, in ms since 1970 (performance.timeOrigin). */
  constructor(
    private readonly clock: HubClock,
    private readonly origin: () => number,
  ) {}

  /**
   * Takes in which picture was taken when. A hub begins with pictures whose time stamps it has pressed
   * together: what it says then (steady: false) is no measure for the time between two of them.
   */
  source(s: Source | undefined, steady: boolean): void {
    const { ahead } = this.clock;
    if (!s?.captureTimestamp || ahead === null) return;
    const unix = s.captureTimestamp - (s.captureTimestamp > ntpEpoch ? ntpEpoch : 0) + ahead;
    this.#known = { rtp: s.rtpTimestamp, at: unix - this.origin(), steady };
  }

  /** When a picture that is shown now was taken. */
  moment(f: Frame, now: number): Moment {
    if (f.captureTime !== undefined) return { at: Math.min(f.captureTime, now), kind: "taken" };
    const { ahead } = this.clock;
    if (f.taken !== undefined && ahead !== null) return { at: Math.min(f.taken + ahead - this.origin(), now), kind: "taken" };
    const known = this.#known;
    if (known && f.rtpTimestamp !== undefined) {
      const since = known.steady ? rtpDifference(f.rtpTimestamp, known.rtp) : 0;
      return { at: Math.min(known.at + since, now), kind: "taken" };
    }
    return { at: Math.min(f.receiveTime ?? now, now), kind: "received" };
  }
}
