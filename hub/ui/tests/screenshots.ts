// Every view in every size, theme and language, into .cache/screenshots: `make screenshots`. What a
// machine can see of a picture that is wrong is looked for while they are made: a page wider than its
// window, text that is cut off without dots, controls that lie off the screen, views that jump as they fill.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { beforeAll, expect, it } from "vitest";
import { root } from "./support/programs";
import { openEach } from "./support/opened";
import { type Look, Person } from "./support/people";
import { room } from "./support/room";
import { type Scene, setScene } from "./support/scene";
import { settle } from "./support/settle";
import { calm, shifts, watchShifts } from "./support/shifts";
import { languages } from "./support/words";

const sizes = {
  "1366x768": { width: 1366, height: 768 },
  "1920x1080": { width: 1920, height: 1080 },
  "2560x1440": { width: 2560, height: 1440 },
  phone: { width: 390, height: 844 },
};
// What is opened before a view looks alike on larger screens; its colours are looked at by axe in either theme.
const withOpened = (stem: string) => /^(1366x768 dark|phone light)/.test(stem);
const folder = join(root, ".cache", "screenshots");
// GRIDPOST_SCREENSHOTS=all, or parts of names: "1366x768 dark" takes those alone.
const wanted = (process.env["GRIDPOST_SCREENSHOTS"] ?? "all").split(" ").filter((w) => w && w !== "all" && w !== "1");

let scene: Scene;
const hall = room({ town: true }, async (stage) => {
  scene = await setScene(stage);
});
// Somebody else is on duty, has watched four cameras for a while and goes on with one.
beforeAll(async () => {
  const { page } = await (await Person.sits(hall.browser, hall.stage.url, { size: { width: 800, height: 500 } })).signIn("li.wei", `/incidents/${scene.picture}`);
  await page.locator("#play-best").click();
  await page.waitForFunction(() => [...document.querySelectorAll("video")].filter((v) => v.getVideoPlaybackQuality().totalVideoFrames > 40).length === 4, undefined, { timeout: 60_000 });
  await page.keyboard.press("v");
  await page.locator("#nearby .camera").first().click();
});

/** What is wrong with the page as it stands. */
function wrong(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const found: string[] = [];
    const name = (e: Element) => `${e.tagName.toLowerCase()}${e.id && `#${e.id}`}${[...e.classList].filter((c) => !c.startsWith("svelte-")).map((c) => `.${c}`).join("")} "${(e.textContent ?? "").trim().slice(0, 40)}"`;
    const doc = document.documentElement;
    if (doc.scrollWidth > innerWidth) found.push(`the page is ${doc.scrollWidth} wide, the window ${innerWidth}`);
    const main = document.querySelector("main");
    if (main && main.scrollWidth > main.clientWidth + 1) found.push(`the view is ${main.scrollWidth} wide, its place ${main.clientWidth}`);
    for (const e of document.querySelectorAll<HTMLElement>("body *")) {
      if (e.closest(".unseen, [hidden], svg, .maplibregl-map, .uplot") || !e.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
      const style = getComputedStyle(e);
      const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent!.trim());
      const box = e.getBoundingClientRect();
      if (own && box.width > 2) {
        const cuts = style.overflowX === "hidden" || style.overflowX === "clip";
        if (cuts && e.scrollWidth > e.clientWidth + 1 && style.textOverflow !== "ellipsis") found.push(`cut off: ${name(e)}`);
        if (style.overflowY === "hidden" && e.scrollHeight > e.clientHeight + 3) found.push(`cut off below: ${name(e)}`);
        // An ellipsis needs a way to the whole text.
        if (cuts && style.textOverflow === "ellipsis" && e.scrollWidth > e.clientWidth + 1 && !e.closest("[title], [aria-label]")) found.push(`shortened, and nowhere whole: ${name(e)}`);
      }
      if (e.matches("button, a[href], input, select, textarea") && box.width > 2 && box.height > 2) {
        let scrolls = false;
        for (let up: Element | null = e; up; up = up.parentElement) if (/auto|scroll/.test(getComputedStyle(up).overflowX + getComputedStyle(up).overflowY)) scrolls = true;
        if ((box.right > innerWidth + 1 || box.left < -1) && !scrolls && !e.classList.contains("skip")) found.push(`off the screen: ${name(e)}`);
      }
    }
    return [...new Set(found)];
  });
}

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const report: Record<string, string[]> = {};

async function shoot(p: Person, name: string): Promise<void> {
  const faults = await wrong(p.page);
  const moved = await shifts(p.page);
  if (moved.score >= calm) faults.push(`moved by itself: ${moved.score.toFixed(3)}: ${moved.what}`);
  if (faults.length) report[name] = faults;
  await p.page.screenshot({ path: join(folder, `${name}.png`), animations: "disabled" });
}

const before: [string, Look][] = []; // who sees the hub go
for (const [size, viewport] of Object.entries(sizes)) {
  for (const theme of ["dark", "light"] as const) {
    for (const language of languages) {
      const stem = `${size} ${theme} ${language}`;
      if (wanted.length && !wanted.every((w) => stem.includes(w))) continue;
      const as = (view: string) => `${view}-${size}-${theme}-${language}`;
      const look = { language, theme, size: viewport, phone: size === "phone" };
      if (withOpened(stem)) before.push([as("gone"), look]);
      it(stem, { timeout: 300_000 }, async () => {
        const p = await hall.sits(look);
        await p.go("/");
        await p.page.waitForSelector("#login-user");
        await watchShifts(p.page);
        await p.page.waitForTimeout(800);
        await shoot(p, as("login"));
        await p.signIn("boss");
        await watchShifts(p.page);
        for (const [view, path] of Object.entries(scene.views)) {
          await p.follow(path);
          await settle(p.page, p.say, view === "wall" ? 3 : 0);
          await shoot(p, as(view));
        }
        await p.follow(scene.views["level"]!);
        await settle(p.page, p.say);
        await p.page.locator("#play-best").click();
        await settle(p.page, p.say, 4);
        await shoot(p, as("live"));
        if (withOpened(stem)) await openEach(p, scene, (name) => shoot(p, as(name)));
        p.check();
      });
    }
  }
}

// The last thing, because the hub stays away.
it("the hub is gone", { timeout: 300_000 }, async () => {
  const people: [string, Person][] = [];
  for (const [name, look] of before) {
    const p = await (await hall.sits(look)).signIn("boss", scene.views["incidents"]);
    await settle(p.page, p.say);
    await watchShifts(p.page);
    people.push([name, p]);
  }
  await hall.stage.stopHub();
  for (const [name, p] of people) {
    await p.page.waitForFunction(() => document.querySelector("#link")?.getAttribute("data-state") !== "live");
    await settle(p.page, p.say);
    await shoot(p, name);
  }
});

it("nothing is cut off or off the screen", () => {
  writeFileSync(join(folder, "faults.json"), `${JSON.stringify(report, null, 1)}\n`);
  expect(report).toEqual({});
});
