/** How wide, in px, a vertical axis is that has these texts beside it, in the 12 px of charts. */
export function axisWidth(texts: readonly string[] | null): number {
  const longest = Math.max(4, ...(texts ?? []).map((text) => text.length));
  return Math.min(120, 18 + longest * 7);
}
