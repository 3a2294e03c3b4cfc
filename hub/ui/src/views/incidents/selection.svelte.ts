// Which incidents of the list are selected, to be acknowledged, taken or closed together. A row stands for one
// incident or, when it is a group that is not opened, for all of them.

export interface Line {
  key: string; // of the row
  ids: readonly string[]; // of its incidents
}

export type Checked = "true" | "mixed" | "false";

export class Selection {
  /** a new set after each change */
  ids: ReadonlySet<string> = $state.raw(new Set());
  // Where a range begins, and what was selected before it.
  #anchor = "";
  #base: ReadonlySet<string> = new Set();

  checked(line: Line): Checked {
    const n = line.ids.reduce((sum, id) => sum + Number(this.ids.has(id)), 0);
    return n === 0 ? "false" : n === line.ids.length ? "true" : "mixed";
  }

  /** Selects a row, or lets it go when all of it is selected. A range begins there. */
  toggle(line: Line): void {
    const next = new Set(this.ids);
    const on = this.checked(line) !== "true";
    for (const id of line.ids) on ? next.add(id) : next.delete(id);
    this.ids = this.#base = next;
    this.#anchor = line.key;
  }

  /** Selects from where the range began to a row, instead of the range as it was. It begins at from, if it has not begun. */
  extend(lines: readonly Line[], from: string, to: string): void {
    let begin = lines.findIndex((l) => l.key === this.#anchor);
    if (begin < 0) {
      this.#base = this.ids;
      this.#anchor = lines.some((l) => l.key === from) ? from : to;
      begin = lines.findIndex((l) => l.key === this.#anchor);
    }
    const end = lines.findIndex((l) => l.key === to);
    if (end < 0) return;
    const range = lines.slice(Math.min(begin, end), Math.max(begin, end) + 1);
    this.ids = new Set([...this.#base, ...range.flatMap((l) => l.ids)]);
  }

  /** The next range begins where somebody is then. */
  endRange(): void {
    this.#anchor = "";
  }

  set(ids: Iterable<string>): void {
    this.ids = new Set(ids);
    this.#anchor = "";
  }

  clear(): void {
    if (this.ids.size > 0) this.set([]);
    this.#anchor = "";
  }
}
