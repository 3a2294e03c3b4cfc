// A sorted collection of many things of which few change at a time: ten thousand incidents, two
// thousand devices. Its array is a new one after each batch of changes, and things in it are never
// changed in place, so `sorted` can be used as a value and compared by identity.

export interface Rules<T> {
  key: (item: T) => string;
  /** the order; must be total and must not depend on anything but the items */
  compare: (a: T, b: T) => number;
  /** whether b takes a's place */
  newer: (a: T, b: T) => boolean;
  /** ms within which changes become one; 0: by the end of the current task */
  batch: number;
}

/** More changes than this in a batch are sorted at once instead of one by one. */
const few = 32;

export class Collection<T> {
  /** all items in order; reactive */
  sorted: T[] = $state.raw([]);
  #byKey = new Map<string, T>();
  #placed = new Map<string, T>(); // what stands in sorted
  #dirty = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #last = -Infinity;
  #revision = $state(0);
  readonly #rules: Rules<T>;

  constructor(rules: Rules<T>) {
    this.#rules = rules;
  }

  /** One item, reactive (to every batch, not to the one item). */
  get(key: string): T | undefined {
    void this.#revision;
    return this.#byKey.get(key);
  }

  /** One item as it is now, also before its batch is shown; not reactive. */
  peek(key: string): T | undefined {
    return this.#byKey.get(key);
  }

  get size(): number {
    void this.#revision;
    return this.#byKey.size;
  }

  /** Takes an item in unless a newer one is there. Says what that did. */
  put(item: T): "added" | "changed" | "kept" {
    const key = this.#rules.key(item);
    const had = this.#byKey.get(key);
    if (had !== undefined && !this.#rules.newer(had, item)) return "kept";
    this.#byKey.set(key, item);
    this.#touch(key);
    return had === undefined ? "added" : "changed";
  }

  remove(key: string): void {
    if (this.#byKey.delete(key)) this.#touch(key);
  }

  clear(): void {
    for (const key of this.#byKey.keys()) this.#dirty.add(key);
    this.#byKey.clear();
    this.flush();
  }

  /** Everything as it is now; not reactive. */
  values(): IterableIterator<T> {
    return this.#byKey.values();
  }

  #touch(key: string): void {
    this.#dirty.add(key);
    if (this.#timer !== null) return;
    const wait = Math.max(0, this.#last + this.#rules.batch - performance.now());
    this.#timer = setTimeout(() => this.flush(), wait);
  }

  /** Shows what has changed now instead of at the end of the batch. */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#last = performance.now();
    if (this.#dirty.size === 0) return;
    if (this.#dirty.size > few) {
      this.sorted = [...this.#byKey.values()].sort(this.#rules.compare);
      this.#placed = new Map(this.#byKey);
    } else {
      const list = this.sorted.slice();
      for (const key of this.#dirty) this.#replace(list, key);
      this.sorted = list;
    }
    this.#dirty.clear();
    this.#revision += 1;
  }

  #replace(list: T[], key: string): void {
    const old = this.#placed.get(key);
    const item = this.#byKey.get(key);
    if (old !== undefined) {
      const at = this.#search(list, old);
      if (list[at] === old) list.splice(at, 1);
      this.#placed.delete(key);
    }
    if (item === undefined) return;
    list.splice(this.#search(list, item), 0, item);
    this.#placed.set(key, item);
  }

  /** The first index whose item does not come before the given one. */
  #search(list: T[], item: T): number {
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#rules.compare(list[middle]!, item) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
