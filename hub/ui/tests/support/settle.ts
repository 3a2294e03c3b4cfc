// When a view has become what it will be: its title stands, nothing is being fetched, the map is drawn
// and the fonts are there.
import type { Page } from "playwright-core";
import type { Say } from "./words";

export async function settle(page: Page, say: Say, tiles = 0): Promise<void> {
  await page.waitForSelector("h1");
  await page.waitForFunction((loading) => !document.querySelector("main")?.textContent?.includes(loading), say("ui.loading"), { timeout: 20_000 });
  if (tiles) await page.waitForFunction((n) => document.querySelectorAll("figure.tile[data-state=live]").length >= n, tiles, { timeout: 60_000 });
  await page.evaluate(async () => {
    await document.fonts.ready;
    // Those out of sight that are loaded lazily do not come.
    const comes = (i: HTMLImageElement) => i.loading !== "lazy" || (i.checkVisibility() && i.getBoundingClientRect().top < innerHeight);
    await Promise.all([...document.images].filter((i) => !i.complete && comes(i)).map((i) => new Promise((done) => { i.onload = i.onerror = done; })));
  });
  await page.waitForFunction(() => [...document.querySelectorAll("[data-drawn]")].every((m) => (m as HTMLElement).dataset["drawn"] === "true"), undefined, { timeout: 20_000 });
  await page.waitForTimeout(300);
}
