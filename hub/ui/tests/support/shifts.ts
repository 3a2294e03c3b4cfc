// What moves by itself: everything that jumps while a view fills up with pictures, curves and lists, as
// the browser counts it (cumulative layout shift). Rows that make room for a new incident are meant to move.
import type { Page } from "playwright-core";

/** More than this is seen as a jump. */
export const calm = 0.1;

interface Moved { score: number; what: string }

/** Begins to watch a page, once for each time that it is loaded. */
export async function watchShifts(page: Page): Promise<void> {
  await page.evaluate(() => {
    const moved: Moved[] = [];
    (window as unknown as { moved: Moved[] }).moved = moved;
    const name = (n: Node | null) => (n instanceof Element ? `${n.tagName.toLowerCase()}${n.id && `#${n.id}`}${[...n.classList].filter((c) => !c.startsWith("svelte-")).map((c) => `.${c}`).join("")}` : "text");
    new PerformanceObserver((list) => {
      for (const e of list.getEntries() as unknown as { value: number; hadRecentInput: boolean; sources: { node: Node | null }[] }[]) {
        const others = e.sources.filter((s) => !(s.node instanceof Element ? s.node : s.node?.parentElement)?.closest("#incidents"));
        if (!e.hadRecentInput && (others.length > 0 || e.sources.length === 0)) moved.push({ score: e.value, what: others.map((s) => name(s.node)).join(", ") });
      }
    }).observe({ type: "layout-shift" });
  });
}

/** How much has moved since it was last asked, and what. */
export async function shifts(page: Page): Promise<{ score: number; what: string }> {
  const all = await page.evaluate(() => (window as unknown as { moved: Moved[] }).moved.splice(0));
  return { score: all.reduce((n, m) => n + m.score, 0), what: all.map((m) => `${m.score.toFixed(3)} ${m.what}`).join("; ") };
}
