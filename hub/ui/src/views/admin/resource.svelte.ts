// A list that an administrator's page shows: fetched when the page opens, again after each change, and,
// where others change it too, every few seconds.
import { onMount } from "svelte";

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
    onMount(() => this.#start());
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

/** A list that is long: its newest page renews itself, older ones are fetched when asked for. */
export class Pages<T> {
  readonly newest: Resource<T>;
  error = $state.raw<unknown>(null); // of fetching older ones
  #older = $state.raw<T[]>([]);
  #next = $state.raw<string | null | undefined>(undefined); // undefined: nothing has been fetched yet
  readonly more: boolean = $derived(!!this.#next);
  readonly all: T[] = $derived.by(() => {
    const first = this.newest.items ?? [];
    const known = new Set(first.map(this.key));
    return [...first, ...this.#older.filter((x) => !known.has(this.key(x)))];
  });

  constructor(
    private readonly fetch: (query: { limit: number; next?: string }, signal?: AbortSignal) => Promise<{ items: T[]; next: string | null }>,
    private readonly key: (item: T) => string,
    size: number,
    every: number, // ms
  ) {
    this.newest = new Resource<T>(async (signal) => {
      const page = await fetch({ limit: size }, signal);
      if (this.#next === undefined) this.#next = page.next;
      return page.items;
    }, every);
  }

  async fetchOlder(): Promise<void> {
    try {
      const page = await this.fetch({ limit: 100, ...(this.#next && { next: this.#next }) });
      this.#older = [...this.#older, ...page.items];
      this.#next = page.next;
      this.error = null;
    } catch (error) {
      this.error = error;
    }
  }
}
