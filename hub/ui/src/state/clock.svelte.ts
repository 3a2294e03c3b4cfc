// The hub's time. Ages are differences to times that the hub has given, so a desk whose own clock
// is wrong still shows them right, and is told that it is wrong.
import { onHubTime } from "../api/client";

/** Differences below this, in ms, are rounding (the hub's Date header has whole seconds) and travel. */
const tolerance = 2000;

export class Clock {
  /** the hub's time in ms; moves once a second */
  now = $state(Date.now());
  /** how much this machine's clock lags behind the hub's, ms; 0 within the tolerance */
  offset = $state(0);
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Starts the seconds. Returns what stops them. */
  start(): () => void {
    const tick = () => (this.now = Date.now() + this.offset);
    const heard = onHubTime((hub, took) => this.hear(hub, took));
    this.#timer = setInterval(tick, 1000);
    const shown = () => document.hidden || tick();
    document.addEventListener("visibilitychange", shown);
    return () => {
      clearInterval(this.#timer);
      document.removeEventListener("visibilitychange", shown);
      heard();
    };
  }

  /** Takes in the hub's clock, from an answer that took so long. */
  hear(hub: number, took: number): void {
    if (took > 1000) return;
    const offset = hub + 500 - (Date.now() - took / 2); // the header has cut half a second off, on average
    this.offset = Math.abs(offset) < tolerance ? 0 : Math.round(offset / 1000) * 1000;
  }

  /** The hub's time this moment, to the millisecond; not reactive. */
  exact(): number {
    return Date.now() + this.offset;
  }
}

export const clock = new Clock();
