// Which tab leads, agreed by messages: pages by plain HTTP from another machine have no Web Locks, and need a shared
// stream the most. Two tabs may lead for a moment, and none for as long as nobody has noticed that the leading one has
// crashed: what tabs pass on is numbered, so that neither loses nor doubles an event.
import type { Lead } from "./tabs";

export interface Vote {
  kind: "vote";
  what: "claim" | "held" | "free";
  by: number; // the smaller one goes before
}

const claimFor = 200; // ms within which the leading tab, or one that goes before, answers a claim

export class Election {
  readonly #number = Math.random();
  #by = 0; // of the present claim
  #claims = false;
  #holds: AbortController | null = null;
  #refuse = (): void => {};
  #freed = (): void => {};

  /** hidden: browsers slow the timers of such a tab down, so that it goes behind the others. */
  constructor(private readonly post: (v: Vote) => void, private readonly hidden: () => boolean) {}

  receive(v: Vote): void {
    if (v.what === "free") return this.#freed();
    if (this.#holds) {
      if (v.what === "held" && v.by < this.#by) this.#lose();
      else this.#say("held");
    } else if (v.what === "held" || v.by < this.#by) this.#refuse();
    else if (this.#claims) this.#say("claim"); // the other one began later, and has not heard it
  }

  /** Another tab does what the leading one does: only one may go on with it. */
  contest(): void {
    if (this.#holds) this.#say("held");
  }

  /** Waits for the lead, which a tab has that does not answer a claim; rejects when the signal is aborted before. */
  async lead(signal: AbortSignal): Promise<Lead> {
    const aborted = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true }));
    aborted.catch(() => {}); // also where nothing waits for it any more
    for (;;) {
      signal.throwIfAborted();
      const freed = new Promise<void>((resolve) => (this.#freed = resolve));
      const refused = new Promise<boolean>((resolve) => (this.#refuse = () => resolve(false)));
      this.#by = this.#number + Number(this.hidden());
      this.#claims = true;
      this.#say("claim");
      const won = await Promise.race([refused, new Promise<boolean>((done) => setTimeout(() => done(true), claimFor)), aborted]).finally(() => (this.#claims = false));
      if (won) return this.#hold();
      await Promise.race([freed, aborted]);
    }
  }

  /** The tab is closed. */
  leave(): void {
    if (!this.#holds) return;
    this.#lose();
    this.#say("free");
  }

  #hold(): Lead {
    const mine = (this.#holds = new AbortController());
    this.#say("held");
    return { lost: mine.signal, end: () => void (this.#holds === mine && this.leave()) };
  }

  #lose(): void {
    const lost = this.#holds;
    this.#holds = null;
    lost?.abort();
  }

  #say(what: Vote["what"]): void {
    this.post({ kind: "vote", what, by: this.#by });
  }
}
