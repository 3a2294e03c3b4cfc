// Chinese glyphs for machines that have none, in slices that are fetched only as they are needed.
// The shell loads this after its first paint; the map waits for it before it draws labels.
import "@fontsource/noto-sans-sc/400.css";

/** Loads the slices that a text needs. */
export async function loadGlyphs(text: string, size = 18): Promise<void> {
  await document.fonts.load(`${size}px "Noto Sans SC"`, text);
}
