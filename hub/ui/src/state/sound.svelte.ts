// Tones by severity, made by WebAudio: nothing to load, nothing to decode. A mute always ends by itself. Nothing that
// decides whether a tone sounds is left to a timer: those of a tab in the background run a minute late.
import { rankOf, type Severity } from "../api/types";
import { prefs } from "./prefs.svelte";

/** One tone: Hz, when it begins and how long it sounds, in s. */
interface Note {
  hz: number;
  at: number;
  long: number;
}

// The worse, the more notes and the higher: told apart without counting, and not like one another
// in rhythm. Minor ones are quiet on purpose: most of a shift is minor.
const tunes: Record<Severity, { gain: number; notes: Note[] }> = {
  minor: { gain: 0.25, notes: [{ hz: 520, at: 0, long: 0.12 }] },
  moderate: { gain: 0.5, notes: [{ hz: 520, at: 0, long: 0.14 }, { hz: 660, at: 0.18, long: 0.18 }] },
  severe: { gain: 0.8, notes: [{ hz: 660, at: 0, long: 0.16 }, { hz: 880, at: 0.2, long: 0.16 }, { hz: 660, at: 0.4, long: 0.22 }] },
  extreme: {
    gain: 1,
    notes: [0, 0.7].flatMap((at) => [
      { hz: 988, at, long: 0.14 }, { hz: 784, at: at + 0.16, long: 0.14 },
      { hz: 988, at: at + 0.32, long: 0.14 }, { hz: 784, at: at + 0.48, long: 0.14 },
    ]),
  },
};

/** The choices for how long a mute lasts, minutes. */
export const muteChoices = [5, 15, 30, 60] as const;

const late = 1000; // ms after which an alarm is not worth a tone any more
const place = "gridpost.muted";

class Sound {
  /** until when it is muted, ms; 0: it is not */
  mutedUntil = $state(0);
  /** the browser lets nothing sound before the person has touched the page */
  blocked = $state(false);
  #context: AudioContext | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #playing = { rank: -1, until: 0 }; // in seconds of the context's clock

  constructor() {
    if (typeof localStorage === "undefined") return;
    try {
      const until = Number(localStorage.getItem(place));
      if (until > Date.now()) this.#until(until);
    } catch {
      /* no storage: no mute is kept */
    }
  }

  get muted(): boolean { return this.mutedUntil > 0; }
  /** whether an alarm would be heard */
  get audible(): boolean { return prefs.sound && !this.muted && !this.blocked; }

  mute(minutes: number): void {
    this.#until(Date.now() + minutes * 60_000);
  }

  unmute(): void {
    this.#until(0);
  }

  #until(at: number): void {
    this.#take(at);
    try {
      if (at > 0) localStorage.setItem(place, String(at));
      else localStorage.removeItem(place);
    } catch {
      /* no storage: it holds until the page is left */
    }
  }

  #take(at: number): void {
    this.mutedUntil = at;
    clearTimeout(this.#timer);
    if (at > 0) this.#timer = setTimeout(() => this.#until(0), at - Date.now());
  }

  /** Wakes the sound at the person's first touch, as browsers want it. */
  start(): () => void {
    const touch = () => {
      const context = this.#ready();
      void context?.resume().then(() => this.#check());
    };
    // A mute holds in every tab of this browser: they sound together.
    const elsewhere = (e: StorageEvent) => {
      const at = Number(e.newValue);
      if (e.key === place) this.#take(at > Date.now() ? at : 0);
    };
    addEventListener("pointerdown", touch);
    addEventListener("keydown", touch);
    addEventListener("storage", elsewhere);
    this.#ready();
    this.#check();
    return () => {
      removeEventListener("pointerdown", touch);
      removeEventListener("keydown", touch);
      removeEventListener("storage", elsewhere);
    };
  }

  #ready(): AudioContext | null {
    if (!this.#context && typeof AudioContext !== "undefined") {
      this.#context = new AudioContext();
      this.#context.onstatechange = () => this.#check();
    }
    return this.#context;
  }

  #check(): void {
    this.blocked = this.#context?.state === "suspended";
  }

  /** Sounds for an incident. trial: because the person wants to hear it, also while muted. */
  play(severity: Severity, trial = false): void {
    if (this.muted && Date.now() >= this.mutedUntil) this.unmute();
    if (!trial && (!prefs.sound || this.muted || rankOf(severity) < rankOf(prefs.soundFrom))) return;
    const context = this.#ready();
    if (!context) return;
    if (context.state === "running") return this.#tune(context, severity, trial);
    // The browser may have suspended it in the background. What it lets sound too late is no alarm any more.
    const asked = performance.now();
    void context.resume().then(() => performance.now() - asked < late && this.#tune(context, severity, trial), () => this.#check());
  }

  /** One tune at a time: in a storm a worse one cuts in, others are left out. */
  #tune(context: AudioContext, severity: Severity, trial: boolean): void {
    const rank = rankOf(severity);
    if (!trial && context.currentTime < this.#playing.until && rank <= this.#playing.rank) return;
    const tune = tunes[severity];
    this.#playing = { rank, until: context.currentTime + Math.max(...tune.notes.map((n) => n.at + n.long)) };
    for (const note of tune.notes) this.#note(context, note, tune.gain * prefs.volume * 0.3);
  }

  #note(context: AudioContext, note: Note, loud: number): void {
    const from = context.currentTime + 0.02 + note.at;
    const tone = context.createOscillator();
    const gain = context.createGain();
    tone.type = "triangle";
    tone.frequency.value = note.hz;
    // Rises and falls within 12 ms: a tone that begins at once clicks.
    gain.gain.setValueAtTime(0, from);
    gain.gain.linearRampToValueAtTime(loud, from + 0.012);
    gain.gain.setValueAtTime(loud, from + note.long - 0.012);
    gain.gain.linearRampToValueAtTime(0, from + note.long);
    tone.connect(gain).connect(context.destination);
    tone.start(from);
    tone.stop(from + note.long + 0.02);
  }
}

export const sound = new Sound();
