// A list that an administrator's page shows: fetched when the page opens, again after each change, and,
// where others change it too, every few seconds.
import { untrack } from "svelte";

export class Resource<T> {
  items = $state.raw<T[] | null>(null);
  error = $state.raw<unknown>(null);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #round = 0;
  #open = false;

  constructor(
    private readonly fetch: (signal: AbortSignal) => Promise<T[]>,
    private readonly every = 0, // ms; 0: only when asked
  ) {
    $effect(() => untrack(() => this.#start()));
  }

  #control: AbortController | null = null;

  #start(): () => void {
    this.#open = true;
    void this.reload();
    return () => {
      this.#open = false;
      clearTimeout(this.#timer);
      this.#control?.abort();
    };
  }

  async reload(): Promise<void> {
    const round = ++this.#round;
    clearTimeout(this.#timer);
    this.#control?.abort();
    this.#control = new AbortController();
    try {
      const items = await this.fetch(this.#control.signal);
      if (round !== this.#round) return;
      this.items = items;
      this.error = null;
    } catch (error) {
      if (round !== this.#round || !this.#open) return;
      this.error = error;
    }
    const wait = this.every || (this.error ? 5000 : 0);
    if (wait && this.#open) this.#timer = setTimeout(() => void this.reload(), wait);
  }
}
