// The hub's time. Ages are differences to times that the hub has given, so a desk whose own clock
// is wrong still shows them right, and is told that it is wrong.
import { onHubTime } from "../api/client";

/** From here on a person is told that this machine's clock is wrong, ms. */
const tolerance = 2000;

export class Clock {
  /** the hub's time in ms; moves once a second */
  now = $state(Date.now());
  /** how much this machine's clock lags behind the hub's, ms; 0 as long as nothing contradicts that */
  offset = $state(0);
  /** the same where a person should know it, else 0 */
  readonly wrong: number = $derived(Math.abs(this.offset) < tolerance ? 0 : Math.round(this.offset / 1000) * 1000);
  #low = -Infinity; // the offset is between the two
  #high = Infinity;
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

  /**
   * Takes in the hub's clock, in whole seconds, from an answer that took so long. Each answer bounds the offset: the
   * hub wrote its time, less the part of a second that was cut off, between the request and the answer. All
   * together they are exact to some milliseconds, so that the time neither jumps nor goes back with the next answer.
   */
  hear(hub: number, took: number): void {
    const here = Date.now();
    const low = hub - here;
    const high = hub + 1000 - (here - took);
    this.#low = Math.max(low, this.#low);
    this.#high = Math.min(high, this.#high);
    if (this.#low > this.#high) [this.#low, this.#high] = [low, high]; // one of the clocks was set: this answer alone counts
    this.offset = this.#low <= 0 && this.#high >= 0 ? 0 : Math.round((this.#low + this.#high) / 2);
  }

  /** The hub's time this moment, to the millisecond; not reactive. */
  exact(): number {
    return Date.now() + this.offset;
  }
}

export const clock = new Clock();
