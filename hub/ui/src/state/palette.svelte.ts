// Whether the palette of commands or the sheet of keys is open, and how the palette finds.
import type { Command } from "./commands.svelte";

class Palette {
  open = $state(false);
  keysOpen = $state(false);

  toggle(): void {
    this.keysOpen = false;
    this.open = !this.open;
  }

  toggleKeys(): void {
    this.open = false;
    this.keysOpen = !this.keysOpen;
  }
}

export const palette = new Palette();

/** How well a text is found by what was typed: 0 not at all; the more the better. Pure. */
export function score(text: string, typed: string): number {
  const words = typed.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const hay = text.toLocaleLowerCase();
  let sum = 1;
  for (const word of words) {
    const at = hay.indexOf(word);
    if (at < 0) return 0;
    // Chinese has no spaces: a word may begin anywhere.
    sum += at === 0 ? 4 : /[\s\p{P}]/u.test(hay[at - 1]!) || /^\p{sc=Han}/u.test(word) ? 3 : 1;
    if (hay.endsWith(word)) sum += 1; // "Go to devices" before "Sort by devices and sites"
  }
  return sum;
}

/** Commands that are found, the best first; all of them, as they stand, when nothing was typed. */
export function find(all: Command[], typed: string): Command[] {
  const listed = all.filter((c) => c.palette !== false);
  if (!typed.trim()) return listed;
  return listed
    .map((c) => ({ c, s: Math.max(score(c.label(), typed), score(c.find?.() ?? "", typed) / 2) }))
    .filter((x) => x.s > 0)
    .sort((a, b) => b.s - a.s)
    .map((x) => x.c);
}
