// What one person has set on this machine. Kept in the browser; public/first.js reads the same key.
import { type Severity, severities } from "../api/types";
import { type Language, languages } from "../i18n/messages";

export type Theme = "dark" | "light";
/** system: as the operating system has it, and as it changes */
export type ThemeChoice = "system" | Theme;

interface Kept {
  language: Language;
  theme: ThemeChoice;
  sound: boolean;
  volume: number; // 0..1
  soundFrom: Severity; // the mildest that sounds
  notify: boolean; // by the desktop, as far as the browser allows it
  notifyFrom: Severity; // the mildest that notifies
  keys: boolean; // keys of one letter work (WCAG 2.1.4 wants that to be optional)
}

const place = "gridpost.prefs";

function preferred(): Language {
  const wanted = typeof navigator === "undefined" ? [] : navigator.languages;
  for (const tag of wanted) {
    if (tag.toLowerCase().startsWith("zh")) return "zh-CN";
    if (tag.toLowerCase().startsWith("en")) return "en";
  }
  return "en";
}

/** What has been kept, as far as it makes sense; the defaults for the rest. */
export function readPrefs(text: string | null): Kept {
  const kept: Kept = { language: preferred(), theme: "system", sound: true, volume: 0.7, soundFrom: "minor", notify: false, notifyFrom: "moderate", keys: true };
  let found: Partial<Record<keyof Kept, unknown>> = {};
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    if (typeof value === "object" && value !== null) found = value;
  } catch {
    /* somebody else's text: the defaults hold */
  }
  if (languages.includes(found.language as Language)) kept.language = found.language as Language;
  if (found.theme === "light" || found.theme === "dark" || found.theme === "system") kept.theme = found.theme;
  if (typeof found.sound === "boolean") kept.sound = found.sound;
  if (typeof found.volume === "number" && found.volume >= 0 && found.volume <= 1) kept.volume = found.volume;
  for (const key of ["soundFrom", "notifyFrom"] as const) if (severities.includes(found[key] as Severity)) kept[key] = found[key] as Severity;
  if (typeof found.notify === "boolean") kept.notify = found.notify;
  if (typeof found.keys === "boolean") kept.keys = found.keys;
  return kept;
}

function stored(): string | null {
  try {
    return localStorage.getItem(place);
  } catch {
    return null;
  }
}

/** What the operating system is set to; null where there is none, as in tests. */
const system = typeof matchMedia === "undefined" ? null : matchMedia("(prefers-color-scheme: light)");

class Prefs {
  #kept: Kept = $state(readPrefs(stored()));
  #systemLight = $state(system?.matches ?? false);

  get language(): Language { return this.#kept.language; }
  set language(v: Language) { this.#put({ language: v }); }
  /** the theme that is shown */
  get theme(): Theme { return this.#kept.theme === "system" ? (this.#systemLight ? "light" : "dark") : this.#kept.theme; }
  get themeChoice(): ThemeChoice { return this.#kept.theme; }
  set themeChoice(v: ThemeChoice) { this.#put({ theme: v }); }
  get sound(): boolean { return this.#kept.sound; }
  set sound(v: boolean) { this.#put({ sound: v }); }
  get volume(): number { return this.#kept.volume; }
  set volume(v: number) { this.#put({ volume: Math.min(1, Math.max(0, v)) }); }
  get soundFrom(): Severity { return this.#kept.soundFrom; }
  set soundFrom(v: Severity) { this.#put({ soundFrom: v }); }
  get notify(): boolean { return this.#kept.notify; }
  set notify(v: boolean) { this.#put({ notify: v }); }
  get notifyFrom(): Severity { return this.#kept.notifyFrom; }
  set notifyFrom(v: Severity) { this.#put({ notifyFrom: v }); }
  get keys(): boolean { return this.#kept.keys; }
  set keys(v: boolean) { this.#put({ keys: v }); }

  #put(change: Partial<Kept>): void {
    Object.assign(this.#kept, change);
    try {
      localStorage.setItem(place, JSON.stringify(this.#kept));
    } catch {
      /* no storage: it holds until the page is left */
    }
    this.apply();
  }

  /** Follows what another tab of this browser sets, and the operating system's theme. Returns what ends that. */
  start(): () => void {
    const changed = (e: StorageEvent) => {
      if (e.key !== place) return;
      this.#kept = readPrefs(e.newValue);
      this.apply();
    };
    const turned = () => {
      this.#systemLight = system?.matches ?? false;
      this.apply();
    };
    turned();
    addEventListener("storage", changed);
    system?.addEventListener("change", turned);
    return () => {
      removeEventListener("storage", changed);
      system?.removeEventListener("change", turned);
    };
  }

  /** Puts language and theme on the document. */
  apply(): void {
    if (typeof document === "undefined") return;
    document.documentElement.lang = this.language;
    document.documentElement.dataset["theme"] = this.theme;
  }
}

export const prefs = new Prefs();
