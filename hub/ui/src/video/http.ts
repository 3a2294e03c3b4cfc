// One view of a camera over HTTP: a GET whose answer is fragmented MP4 and does not end. It goes where the console goes,
// and costs more delay than WebRTC. Its resource at the hub is the same as that of a view by WHEP.
import { ApiError } from "../api/client";
import { type Cause, causeOfAnswer } from "./causes";
import { Fragments, type Reference } from "./fragments";
import type { Events, Line, Playback } from "./line";
import type { Address, Environment } from "./environment";
import { Resource } from "./resource";
import { siteAfter, type Turns } from "./whep";

export interface Stream {
  location: string; // the view's own address
  type: string; // the media type, with the codec
  read: () => Promise<Uint8Array | null>; // null: the hub has ended it
}

/** Frames whose times are kept: what a browser shows is never so far behind what has arrived. */
const keptTimes = 1000;

export class HttpLine implements Line {
  answered = 0;
  readonly #resource: Resource;
  #playback: Playback | null = null;
  #stop = new AbortController();
  #over = false;
  #free: (() => void) | null = null;
  #bytes = 0;
  #taken = new Map<number, number>(); // media time -> ms since 1970, the hub's clock
  #sent: { here: number; there: number } | null = null; // both clocks when the newest fragment came, ms since 1970

  constructor(
    private readonly environment: Environment,
    private readonly source: string, // where the hub says where the camera is watched
    private readonly events: Events,
    private readonly turns: Turns,
    private readonly priority: number,
  ) {
    this.#resource = new Resource(environment);
  }

  async start(): Promise<void> {
    this.events.step("turn");
    let turn: (() => void) | null = null;
    let at: Address | null = null;
    try {
      turn = await this.turns.take(this.priority, this.#stop.signal);
      this.#free = this.environment.httpStream();
      if (!this.#free) return this.#end({ code: "http.full" });
      this.events.step("hub");
      at = (await this.environment.source(this.source)).http;
      if (this.#over) return;
      const waiting = this.environment.after(siteAfter, () => !this.#over && this.events.step("site"));
      const stream = await this.environment.live(at, this.#stop.signal).finally(waiting);
      turn();
      this.#resource.begin({ url: stream.location, credential: at.credential });
      this.answered = this.environment.now();
      this.events.step("line");
      await this.#play(stream);
    } catch (error) {
      if (this.#over) return;
      if (error instanceof ApiError) this.#end(causeOfAnswer(error, at));
      else await this.#why({ code: this.#resource.exists ? "line.lost" : "browser", detail: error instanceof Error ? error.message : String(error) });
    } finally {
      turn?.();
    }
  }

  async #play(stream: Stream): Promise<void> {
    const playback = this.environment.playback(stream.type, (why) => !this.#over && this.#end({ code: "browser", detail: why }));
    if (!playback) return this.#end({ code: "codec" });
    this.#playback = playback;
    const fragments = new Fragments();
    let connected = false;
    for (;;) {
      const chunk = await stream.read();
      if (this.#over) return;
      if (!chunk) return this.#why({ code: "line.closed" });
      this.#bytes += chunk.length;
      const segment = fragments.push(chunk);
      for (const r of segment.taken) this.#note(r);
      const sent = segment.sent[segment.sent.length - 1];
      if (sent) this.#sent = { here: this.environment.epoch(), there: sent.at };
      if (segment.bytes.length > 0) playback.append(segment.bytes);
      if (connected || segment.frames === 0) continue;
      connected = true;
      this.events.step("picture");
      this.events.connected(null, { way: "http", playback, taken: (s) => this.#taken.get(Math.round(s * 90_000)) });
    }
  }

  #note(r: Reference): void {
    this.#taken.set(r.media, r.at);
    if (this.#taken.size <= keptTimes) return;
    const oldest = this.#taken.keys().next();
    if (!oldest.done) this.#taken.delete(oldest.value);
  }

  async #why(otherwise: Cause): Promise<void> {
    const cause = await this.check();
    if (!this.#over) this.#end(cause ?? otherwise);
  }

  check(): Promise<Cause | null> {
    return this.#resource.check();
  }

  /** What getStats of a peer connection would say: the bytes that came, and both clocks. */
  stats(): Promise<RTCStatsReport> | null {
    if (this.#over) return null;
    const report = new Map<string, unknown>([["in", { type: "inbound-rtp", bytesReceived: this.#bytes }]]);
    if (this.#sent) report.set("out", { type: "remote-outbound-rtp", timestamp: this.#sent.here, remoteTimestamp: this.#sent.there });
    return Promise.resolve(report as unknown as RTCStatsReport);
  }

  #end(cause: Cause): void {
    this.close();
    this.events.ended(cause);
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#playback?.close();
    this.#free?.();
    this.#resource.end(() => this.#stop.abort());
  }
}
