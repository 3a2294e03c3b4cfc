// The hub's live stream. EventSource itself reconnects with Last-Event-ID after a broken
// connection; after a refusal it gives up, and then this starts another one.

const pauses = [1, 2, 5, 10, 20]; // s

export class Stream {
  #source = null;
  #again = null;
  #tries = 0;
  #on;

  // on.event(name, data) for each event; on.fresh() when things may have been missed, so that
  // everything must be fetched; on.state("connecting" | "live" | "lost"); on.refused() resolves to
  // whether to try on.
  constructor(on) {
    this.#on = on;
  }

  open() {
    this.close();
    this.#on.state("connecting");
    const source = new EventSource("/api/v1/stream");
    this.#source = source;
    let first = true;
    source.onopen = () => {
      this.#tries = 0;
      this.#on.state("live");
      if (first) this.#on.fresh();
      first = false;
    };
    source.onerror = () => {
      if (source !== this.#source) return;
      this.#on.state("lost");
      if (source.readyState === EventSource.CLOSED) this.#retry(source);
    };
    for (const name of ["incident", "device", "edge"]) {
      source.addEventListener(name, (event) => this.#on.event(name, JSON.parse(event.data)));
    }
    source.addEventListener("reset", () => this.#on.fresh());
  }

  async #retry(source) {
    const goOn = await this.#on.refused();
    if (!goOn || source !== this.#source) return;
    const pause = pauses[Math.min(this.#tries, pauses.length - 1)];
    this.#tries += 1;
    this.#again = setTimeout(() => this.open(), pause * 1000 * (0.75 + Math.random() / 2));
  }

  close() {
    clearTimeout(this.#again);
    this.#source?.close();
    this.#source = null;
  }
}
