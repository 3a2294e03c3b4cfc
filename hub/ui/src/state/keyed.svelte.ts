// Work that belongs to a key: what is fetched for a place, a device, a page of a list. This is the one place
// where a value that changes starts input or output. Only the key decides: nothing that the work reads or
// writes starts it again, so that an answer cannot ask for the next one without end.
import { untrack } from "svelte";

/**
 * Runs start for each new key, and what it returned before the next one and when the component goes. null is
 * no key. Call it while the component is set up. start runs untracked.
 */
export function onKey(key: () => string | null, start: (key: string) => (() => void) | void): void {
  const now = $derived(key());
  $effect(() => {
    const k = now;
    if (k !== null) return untrack(() => start(k) ?? undefined);
  });
}

export interface LoaderOptions {
  /** ms until it is fetched again, also after a failure; 0: only when asked */
  every?: () => number;
}

/** What is fetched for a key. A failure is kept until the next fetch or key: it is repeated only by reload() or every. */
export class Loader<T> {
  value: T | null = $state.raw(null);
  /** the key that value belongs to */
  of: string | null = $state(null);
  error: unknown = $state.raw(null);
  busy = $state(false);
  #run: (() => void) | null = null;

  constructor(
    key: () => string | null,
    private readonly fetch: (signal: AbortSignal) => Promise<T>,
    private readonly o: LoaderOptions = {},
  ) {
    onKey(key, (k) => this.#start(k));
  }

  /** Fetches again for the present key. */
  reload(): void {
    this.#run?.();
  }

  #start(key: string): () => void {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let control: AbortController;
    const run = () => {
      clearTimeout(timer);
      control?.abort();
      control = new AbortController();
      void this.#fetch(key, control.signal).then((again) => {
        if (again && this.o.every) timer = setTimeout(run, this.o.every());
      });
    };
    this.#run = run;
    run();
    return () => {
      clearTimeout(timer);
      control.abort();
      if (this.#run === run) this.#run = null;
      // Also where a fetch has changed its own key before it was over.
      this.busy = false;
      this.error = null;
    };
  }

  /** One fetch; says whether it is still wanted. */
  async #fetch(key: string, signal: AbortSignal): Promise<boolean> {
    this.busy = true;
    let value: T | null = null;
    let error: unknown = null;
    try {
      value = await this.fetch(signal);
    } catch (cause) {
      error = cause;
    }
    if (signal.aborted) return false;
    this.busy = false;
    this.error = error;
    if (error === null) [this.value, this.of] = [value, key];
    return true;
  }
}
