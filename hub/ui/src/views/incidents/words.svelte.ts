// The texts of incidents that are looked through, made once for each of their versions. Ten thousand at
// once would hold the page up for most of a second: they are made a few at a time, and what is looked
// through meanwhile is what is known.
import type { Incident } from "../../api/types";
import type { Language } from "../../i18n/i18n.svelte";
import { incidentWords } from "../../i18n/names";
import { titleWords } from "./title";

/** What a text is made of: also the hub's own title and the names as they are written, in either language. */
export function textOf(i: Incident): string {
  return [titleWords(i), i.title, incidentWords(i), i.assignee, i.state_by, i.id].join("\n").toLocaleLowerCase();
}

export interface World {
  now: () => number; // ms
  pause: () => Promise<void>; // lets everything that waits for the main thread go first
}

const atOnce = 8; // ms of work between two pauses: half a frame
const showEvery = 100; // ms after which what is known by then is shown

const browser: World = {
  now: () => performance.now(),
  pause: () => {
    const { scheduler } = globalThis as { scheduler?: { yield?: () => Promise<void> } };
    return scheduler?.yield?.() ?? new Promise((done) => setTimeout(done));
  },
};

export class Words {
  #known = new WeakMap<Incident, string>();
  #language: Language | undefined;
  #wanted: readonly Incident[] = [];
  #at = 0; // how many of them have been looked at
  #more = $state(0); // moves when more are known
  /** more texts are being made; reactive */
  reading = $state(false);

  constructor(private readonly text: (i: Incident) => string = textOf, private readonly world: World = browser) {}

  /** The text of an incident; undefined as long as it has not been made. Reactive. */
  of(i: Incident): string | undefined {
    void this.#more;
    const known = this.#known.get(i);
    if (known !== undefined || this.reading) return known;
    return this.#make(i); // one that has come since
  }

  /** Makes the texts of these, in the reader's language, which is the one given. */
  want(all: readonly Incident[], language: Language): void {
    if (language !== this.#language) this.#known = new WeakMap();
    this.#language = language;
    this.#wanted = all;
    this.#at = 0;
    if (!this.reading) void this.#read();
  }

  #make(i: Incident): string {
    const text = this.text(i);
    this.#known.set(i, text);
    return text;
  }

  /** Makes texts until this slice of time is over. Says whether that was all. */
  #slice(): boolean {
    const end = this.world.now() + atOnce;
    for (; this.#at < this.#wanted.length; this.#at += 1) {
      const i = this.#wanted[this.#at]!;
      if (this.#known.has(i)) continue;
      if (this.world.now() >= end) return false;
      this.#make(i);
    }
    return true;
  }

  async #read(): Promise<void> {
    let shown = this.world.now();
    this.reading = !this.#slice();
    this.#more += 1;
    while (this.reading) {
      await this.world.pause();
      const all = this.#slice();
      if (!all && this.world.now() - shown < showEvery) continue;
      shown = this.world.now();
      this.reading = !all;
      this.#more += 1;
    }
  }
}

/** Of all incidents: the list and the palette look through the same ones. */
export const words = new Words();
