// Filters that somebody has given a name, in this browser; each person has their own.
const place = "gridpost.filters";
export const mostSaved = 30; // filters of a person
const longest = 60; // characters of a name

export interface SavedFilter {
  name: string;
  query: string; // of the address
}

type Everyone = Record<string, SavedFilter[]>;

/** What has been kept, as far as it makes sense. */
export function readSaved(text: string | null): Everyone {
  let found: unknown;
  try {
    found = JSON.parse(text ?? "{}");
  } catch {
    return {}; // somebody else's text
  }
  if (typeof found !== "object" || found === null) return {};
  const out: Everyone = {};
  for (const [user, list] of Object.entries(found)) {
    if (!Array.isArray(list)) continue;
    out[user] = list.filter((f): f is SavedFilter => typeof (f as SavedFilter)?.name === "string" && typeof (f as SavedFilter).query === "string").slice(0, mostSaved);
  }
  return out;
}

function stored(): string | null {
  try {
    return localStorage.getItem(place);
  } catch {
    return null;
  }
}

/** A name as it is kept. */
export const cleanName = (name: string): string => name.trim().replace(/\s+/g, " ").slice(0, longest);

class Saved {
  #all: Everyone = $state.raw(readSaved(stored()));

  of(user: string): SavedFilter[] { return Object.hasOwn(this.#all, user) ? this.#all[user]! : []; }

  /** Keeps a filter under a name, in place of the one that had it. Says whether there was room. */
  save(user: string, name: string, query: string): boolean {
    this.#read();
    const list = this.of(user);
    const had = list.some((f) => f.name === name);
    if (!had && list.length >= mostSaved) return false;
    this.#put(user, had ? list.map((f) => (f.name === name ? { name, query } : f)) : [...list, { name, query }]);
    return true;
  }

  /** Gives one another name; one that had that name goes. */
  rename(user: string, from: string, to: string): void {
    this.#read();
    this.#put(user, this.of(user).filter((f) => f.name === from || f.name !== to).map((f) => (f.name === from ? { ...f, name: to } : f)));
  }

  remove(user: string, name: string): void {
    this.#read();
    this.#put(user, this.of(user).filter((f) => f.name !== name));
  }

  /** Another tab may have changed them. */
  #read(): void {
    const text = stored();
    if (text !== null) this.#all = readSaved(text);
  }

  #put(user: string, list: SavedFilter[]): void {
    this.#all = { ...this.#all, [user]: list };
    try {
      localStorage.setItem(place, JSON.stringify(this.#all));
    } catch {
      /* no storage: they hold until the page is left */
    }
  }
}

export const saved = new Saved();
