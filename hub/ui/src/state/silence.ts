// Notices that nothing has come for a while, asks once, and gives up if there is no answer.
export interface SilencePatience {
  silence: number; // ms without a word: is the other side still there?
  probe: number; // ms for the answer to that question
}

export class Silence {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #round = 0;

  constructor(
    private readonly p: SilencePatience,
    private readonly ask: () => Promise<boolean>,
    private readonly giveUp: () => void,
  ) {}

  start(): void {
    this.heard();
  }

  heard(): void {
    this.#round += 1;
    const round = this.#round;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      const there = await this.ask();
      if (round !== this.#round) return;
      if (there) this.heard();
      else this.giveUp();
    }, this.p.silence);
  }

  stop(): void {
    this.#round += 1;
    clearTimeout(this.#timer);
  }
}
