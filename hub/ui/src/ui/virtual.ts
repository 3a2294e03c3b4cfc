// Lists of which only the lines that are seen are drawn. Pure.

/** The height of everything above each line, and of everything, in px. */
export function offsets(count: number, height: (n: number) => number): Float64Array {
  const out = new Float64Array(count + 1);
  for (let n = 0; n < count; n += 1) out[n + 1] = out[n]! + height(n);
  return out;
}

/** The line at a height. */
export function lineAt(all: Float64Array, y: number): number {
  let low = 0;
  let high = all.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (all[middle]! <= y) low = middle;
    else high = middle - 1;
  }
  return Math.max(0, low);
}

/** The rows of one height that are drawn of so many, when those between top and top + height (px) are seen. */
export function evenRows(all: number, top: number, height: number, row: number, spare = 6): [from: number, to: number] {
  return [Math.max(0, Math.min(all, Math.floor(top / row)) - spare), Math.min(all, Math.ceil((top + height) / row) + spare)];
}

/** The lines from one to before another, and those that are kept wherever they are, such as the one that has the focus; in order. */
export function drawnLines(all: number, from: number, to: number, kept: readonly number[]): number[] {
  const seen = Array.from({ length: Math.max(0, Math.min(all, to) - Math.max(0, from)) }, (_, n) => Math.max(0, from) + n);
  return [...new Set([...seen, ...kept.filter((n) => n >= 0 && n < all)])].sort((a, b) => a - b);
}
