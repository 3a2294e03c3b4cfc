// What one tile is: a camera that is being watched, whatever happens on the way.
//
//   connecting(step) -> live <-> frozen -> lost -> connecting ...      refused: the hub or the edge does not allow it
//   after ten minutes a view is over; in the last of them it can be renewed without a gap
//
// What always holds: "live" is said only while pictures come; every other state has its cause; every
// try that fails is followed by another one, later each time, but not after a refusal that stays one. What a reader
// is told is the phase: after the first frame, a tile without a new one is lost until a new one comes,
// whichever step of reconnecting it has come to.
// Nothing here knows of Svelte or of the page.
import { Ages, type Frame, type HubClock, type Moment, type Source } from "./age";
import { type Cause, refusal } from "./causes";
import type { Edge } from "./edge";
import { HttpLine } from "./http";
import { type Line, type Picture, Reach, type Step, type Way } from "./line";
import type { Environment } from "./environment";
import { lineSooner, lineWithin, Turns, Whep } from "./whep";

export type State =
  | { name: "idle" }
  | { name: "connecting"; step: Step; after: Cause | null } // after: why the last try ended
  | { name: "live" }
  | { name: "frozen"; cause: Cause } // since the last picture, see `last`
  | { name: "lost"; cause: Cause; retryAt: number }
  | { name: "refused"; cause: Cause; retryAt: number | null } // null: asking again is of no use
  | { name: "over" };

/** none: no frame has come, and the last try has failed; lost: frames came, and no new one does */
export type Phase = "idle" | "connecting" | "live" | "lost" | "none" | "refused" | "over";

export interface Times {
  tick: number; // between looks, ms
  frozen: number; // without a picture, for a camera of more than two pictures a second
  slowest: number; // what a slow camera may take
  first: number; // from the line standing to the first picture
  gone: number; // without a picture until it counts as lost
  view: number; // a view's longest time, as the hub has it
  warning: number; // before its end
  old: number; // so old a picture is not live at the beginning of a line
  flow: number; // but pictures that still come after this time of a line are, however late
  steady: number; // live for so long: the next loss is a new one
  pauses: number[]; // before tries
  refusedPause: number; // before asking again after a refusal that may change
}

export const times: Times = {
  tick: 200, frozen: 1250, slowest: 8000, first: 10_000, gone: 15_000, view: 600_000, warning: 60_000, old: 5000, flow: 1500, steady: 8000,
  pauses: [500, 1000, 2000, 4000, 8000, 15_000], refusedPause: 10_000,
};

/** Of pictures that flow we are told this often, ms: enough to see that they stop. */
export const sampling = 100;
const clockEvery = 5000; // ms between looks at the hub's clock
const none: Frame = {};

export interface Wishes {
  source: string; // the path at which the hub says where the camera is watched, with the purpose
  priority: number;
  edge: Edge; // what it shares with the other cameras of its edge
}

export interface Hooks {
  changed: () => void; // state, or what the last minute of a view is
  /** what to show and to play; null: nothing comes any more, keep the last picture */
  show: (picture: Picture | null) => void;
}

export class Machine {
  state: State = { name: "idle" };
  /** the picture that is seen: when it was taken or received, and when it was put on the screen (environment.now) */
  last: (Moment & { shown: number }) | null = null;
  frames = 0;
  /** from the start of watching to the first picture, ms */
  firstFrameMs: number | null = null;
  /** a second view is being opened in place of the one that ends soon */
  renewing = false;

  /** which way the video takes that is shown or waited for, and why it is not WebRTC */
  way: Way = "webrtc";
  wayCause: Cause | null = null;

  #line: Line | null = null;
  #next: Line | null = null;
  #receiver: RTCRtpReceiver | null = null;
  #began = 0;
  #stoodAt = 0; // the line stands; 0: it does not
  #liveAt = 0;
  #seen = 0; // when something was last as it should be, for telling that it is frozen
  #gaps: number[] = []; // between the last pictures, ms
  #tries = 0;
  #hidden = false;
  #looked = 0;
  #checked = 0;
  #counted = 0; // bytes that had come when it froze
  #steady = false; // and told of pictures whose time stamps are their own
  #measured = -Infinity; // when the age's sources were asked last
  #asked = -Infinity; // when the line's figures were
  #cancelTick: (() => void) | null = null;
  #leaveEdge: (() => void) | null = null;
  #ages: Ages;
  #frame: Frame = none; // the last
  #presented = 0;

  constructor(
    private readonly environment: Environment,
    private readonly wishes: Wishes,
    private readonly hooks: Hooks,
    private readonly turns: Turns,
    private readonly clock: HubClock,
    private readonly reach: Reach,
    private readonly t: Times = times,
    private readonly origin: () => number = () => performance.timeOrigin,
  ) {
    this.#ages = new Ages(clock, origin);
  }

  /** Begins to watch; again after over or a refusal. */
  start(): void {
    this.#leaveEdge ??= this.wishes.edge.join({ changed: () => this.hooks.changed(), nudge: () => this.nudge() });
    this.#began = this.environment.now();
    this.#tries = 0;
    this.frames = 0;
    this.firstFrameMs = null;
    this.#connect(null);
  }

  /** Ends watching, here and at the hub. */
  stop(): void {
    this.#hangUp();
    this.#set({ name: "idle" });
    this.#cancelTick?.();
    this.#cancelTick = null;
    this.#leaveEdge?.();
    this.#leaveEdge = null;
  }

  /** The one key: goes on watching when the view ends soon or is over, and tries at once where a pause goes on. */
  again(): void {
    switch (this.state.name) {
      case "live":
      case "frozen":
        if (this.left !== null && !this.renewing) this.#renew();
        return;
      case "over":
      case "refused":
      case "idle":
        this.start();
        return;
      case "lost":
        this.#connect(this.state.cause);
    }
  }

  /** Something has changed for the better (the hub is back, the camera is online): a pause is not waited for. */
  nudge(): void {
    if (this.state.name !== "lost" && !(this.state.name === "refused" && this.state.retryAt !== null)) return;
    this.state = { ...this.state, retryAt: Math.min(this.state.retryAt!, this.environment.now() + this.environment.random() * 500) };
    this.hooks.changed();
  }

  /** What a reader is told. */
  get phase(): Phase {
    const s = this.state;
    if (s.name === "live" || s.name === "idle" || s.name === "over") return s.name;
    if (s.name === "refused" && s.retryAt === null) return "refused";
    if (this.last !== null) return "lost";
    return s.name === "connecting" && s.after === null && this.wishes.edge.cause === null ? "connecting" : "none";
  }

  /** Why there is no new frame: what stands between all cameras of the edge and this page, or else what this view has met. */
  get cause(): Cause | null {
    const s = this.state;
    if (s.name === "live" || s.name === "idle" || s.name === "over") return null;
    if (s.name === "refused" && s.retryAt === null) return s.cause;
    return this.wishes.edge.cause ?? (s.name === "connecting" ? s.after : s.cause);
  }

  /** What is waited for while it connects; null otherwise. Where the hub does not answer, that is the hub. */
  get step(): Step | null {
    if (this.state.name !== "connecting") return null;
    return this.wishes.edge.hubAway ? "hub" : this.state.step;
  }

  /** ms until the view ends by itself, in its last minute; else null. */
  get left(): number | null {
    if ((this.state.name !== "live" && this.state.name !== "frozen") || !this.#line?.answered) return null;
    const left = this.#line.answered + this.t.view - this.environment.now();
    return left <= this.t.warning ? Math.max(0, left) : null;
  }

  /** How old the picture is that is seen, ms; null while there is none. */
  age(now = this.environment.now()): number | null {
    if (this.last === null) return null;
    // We are not told of each picture: while they flow, the last one that we know stands for the newest.
    const shown = this.state.name === "live" && now - this.last.shown < 2 * sampling ? this.last.shown : now;
    return Math.max(0, shown - this.last.at);
  }

  /** Since when nothing newer is seen: when the picture was taken or, where that is not known, shown; 0: never. */
  get since(): number {
    return this.last === null ? 0 : this.last.kind === "taken" ? this.last.at : this.last.shown;
  }

  /** A picture was put on the screen. Called for some of them; costs next to nothing. */
  frame(f: Frame): void {
    if (!this.#stoodAt) return; // of a line that is gone
    const now = this.environment.now();
    const count = Math.max(1, (f.presentedFrames ?? 0) - this.#presented);
    if (f.presentedFrames) this.#presented = f.presentedFrames;
    if (this.#frame !== none && this.last) {
      this.#gaps.push((now - this.last.shown) / count);
      if (this.#gaps.length > 9) this.#gaps.shift();
    }
    this.frames += count;
    this.firstFrameMs ??= Math.round(now - this.#began);
    this.#frame = f;
    this.#seen = now;
    this.#measure(now);
    this.last = { ...this.#ages.moment(f, now), shown: now };
    if (this.state.name === "live") return;
    // A hub begins with its last pictures. When they are old and nothing follows them, that is not live.
    if (this.last.kind === "taken" && now - this.last.at > this.t.old && now - this.#stoodAt < this.t.flow) {
      if (this.state.name === "connecting") this.#freeze(now);
      return;
    }
    this.#liveAt = now;
    this.#set({ name: "live" });
    this.wishes.edge.frame();
  }

  /** The page is hidden: browsers show no pictures then, and nothing follows from that. */
  hidden(is: boolean): void {
    this.#hidden = is;
    this.#seen = Math.max(this.#seen, this.environment.now());
  }

  #set(state: State): void {
    this.state = state;
    this.hooks.changed();
  }

  #connect(after: Cause | null): void {
    this.#hangUp();
    this.#set({ name: "connecting", step: "turn", after });
    this.#line = this.#open((step) => this.state.name === "connecting" && this.#set({ ...this.state, step }), (cause) => this.#ended(cause));
    void this.#line.start();
    if (!this.#cancelTick) this.#tick();
  }

  #open(step: (s: Step) => void, ended: (c: Cause) => void): Line {
    const way = this.reach.way(this.environment.now());
    const { cause } = this.reach;
    const events = {
      step: (s: Step) => {
        if (s === "line") this.wishes.edge.answered();
        step(s);
      },
      connected: (receiver: RTCRtpReceiver | null, picture: Picture) => {
        this.way = way;
        this.wayCause = cause;
        this.#connected(line, receiver, picture);
      },
      ended: (c: Cause) => {
        const instead = this.reach.failed(way, c, this.environment.now());
        if (instead && line === this.#line) return this.#connect(c);
        ended(c);
      },
    };
    const line: Line = way === "http"
      ? new HttpLine(this.environment, this.wishes.source, events, this.turns, this.wishes.priority)
      : new Whep(this.environment, this.wishes.source, events, this.turns, this.wishes.priority, this.reach.more(way) ? lineSooner : lineWithin, way === "turn");
    return line;
  }

  #connected(line: Line, receiver: RTCRtpReceiver | null, picture: Picture): void {
    const renewed = line === this.#next;
    if (renewed) {
      this.#line?.close();
      this.#line = line;
      this.#next = null;
      this.renewing = false;
    }
    if (this.#stoodAt && !renewed) return; // told before
    this.#receiver = receiver;
    this.#stoodAt = this.#seen = this.environment.now();
    this.#ages = new Ages(this.clock, this.origin); // its time stamps are others
    this.#gaps = [];
    this.#frame = none;
    this.#presented = 0;
    this.#measured = -Infinity;
    this.#steady = false;
    this.hooks.show(picture);
    this.hooks.changed();
  }

  /** Opens the next view while this one goes on. */
  #renew(): void {
    this.renewing = true;
    this.#next = this.#open(() => {}, () => {
      // It does not come about: this view goes on to its end, and then says why.
      this.#next = null;
      this.renewing = false;
      this.hooks.changed();
    });
    void this.#next.start();
    this.hooks.changed();
  }

  #ended(cause: Cause): void {
    this.#hangUp();
    this.wishes.edge.failed(cause);
    if (cause.code === "over") return this.#set({ name: "over" });
    const now = this.environment.now();
    const no = refusal(cause);
    if (no === "for good") return this.#set({ name: "refused", cause, retryAt: null });
    const pause = Math.max(this.t.pauses[Math.min(this.#tries, this.t.pauses.length - 1)]!, no ? this.t.refusedPause : 0);
    this.#tries += 1;
    const retryAt = now + pause * (0.75 + this.environment.random() / 2);
    this.#set({ name: no ? "refused" : "lost", cause, retryAt });
  }

  #hangUp(): void {
    this.hooks.show(null); // before the line is closed: browsers blacken the picture then
    this.#line?.close();
    this.#next?.close();
    this.#line = this.#next = null;
    this.#receiver = null;
    this.#stoodAt = this.#liveAt = 0;
    this.renewing = false;
  }

  #tick(): void {
    this.#looked = this.environment.now();
    this.#cancelTick = this.environment.after(this.t.tick, () => {
      const now = this.environment.now();
      // The page itself stood still: what came meanwhile is still on its way to us.
      const stalled = now - this.#looked > this.t.tick * 3;
      this.#tick();
      if (!stalled) this.#look(now);
    });
  }

  #look(now: number): void {
    const s = this.state;
    if (s.name === "lost" || s.name === "refused") {
      if (s.retryAt !== null && now >= s.retryAt) this.#connect(s.cause);
      return;
    }
    if (this.#stoodAt) this.#measure(now);
    if (s.name === "live" || s.name === "frozen") {
      if (this.#line && now >= this.#line.answered + this.t.view) {
        this.#hangUp();
        return this.#set({ name: "over" });
      }
    }
    if (this.#hidden || !this.#stoodAt) return;
    const silent = now - this.#seen;
    if (s.name === "connecting" && silent >= this.t.first) this.#ended({ code: "picture.never", n: this.t.first / 1000 });
    else if (s.name === "live") {
      if (now - this.#liveAt >= this.t.steady) this.#tries = 0;
      if (silent >= this.patience) this.#freeze(now);
    } else if (s.name === "frozen") {
      if (silent >= this.t.gone) this.#ended({ code: "picture.gone", n: Math.round(silent / 1000) });
      else if (now - this.#checked >= 1000) this.#ask(now);
    }
  }

  /** How long without a picture is too long: a camera of one picture a second is not frozen between two. */
  get patience(): number {
    const sorted = [...this.#gaps].sort((a, b) => a - b);
    const usual = sorted[sorted.length >> 1] ?? 0;
    return Math.min(this.t.slowest, Math.max(this.t.frozen, usual * 2.5));
  }

  #freeze(now: number): void {
    this.#set({ name: "frozen", cause: { code: "picture.none" } });
    this.#counted = -1;
    this.#ask(now);
  }

  /** While nothing moves: does the hub know why, and does anything come at all? */
  #ask(now: number): void {
    this.#checked = now;
    const line = this.#line;
    if (!line) return;
    const still = () => this.#line === line && this.state.name === "frozen";
    void line.check().then((cause) => cause && still() && this.#ended(cause), () => {});
    void line.stats()?.then((report) => {
      if (!still()) return;
      let bytes = 0;
      for (const [, s] of report as unknown as Iterable<[string, { type: string; bytesReceived?: number }]>) if (s.type === "inbound-rtp") bytes += s.bytesReceived ?? 0;
      if (this.#counted >= 0) {
        const code = bytes > this.#counted ? "picture.broken" : "line.empty";
        if (this.state.name === "frozen" && this.state.cause.code !== code) this.#set({ name: "frozen", cause: { code } });
      }
      this.#counted = bytes;
    }, () => {});
  }

  /** Keeps up what the age of a picture needs. Asking a receiver makes the page wait for the line: not often. */
  #measure(now: number): void {
    const steady = now - this.#stoodAt > 1000;
    if (this.clock.ahead !== null && this.#frame !== none && now - this.#measured >= (steady && this.#steady ? 10_000 : 250)) {
      this.#measured = now;
      this.#steady = steady;
      this.#ages.source(this.#receiver?.getSynchronizationSources?.()[0] as Source | undefined, steady);
      if (this.last) this.last = { ...this.#ages.moment(this.#frame, this.last.shown), shown: this.last.shown };
    }
    if (now - this.clock.heard < clockEvery || now - this.#asked < 500) return;
    this.#asked = now;
    void this.#line?.stats()?.then((r) => this.clock.stats(r as unknown as Iterable<[string, unknown]>, this.environment.now()), () => {});
  }
}
