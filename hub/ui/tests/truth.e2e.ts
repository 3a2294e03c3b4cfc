// What a dispatcher must see without looking twice: what goes on and what has ended, which picture is live and which is lost,
// what a report became, and which cameras see a place. In both languages, by either hand.
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, it } from "vitest";
import { focusOf } from "./support/hand";
import { type Person, crossed } from "./support/people";
import { room } from "./support/room";
import { flood, people, square, until } from "./support/stage";
import { pattern } from "./support/words";

const minute = 60_000;
const ago = (ms: number) => new Date(Date.now() - ms).toISOString();
const ids = { flood: "", pictured: "", ongoing: "", ended: "" };

const hall = room({ town: true }, async (stage) => {
  await stage.user("li.wei", "dispatcher");
  await stage.user("anna", "dispatcher");
  // Two cameras see the square, one stands beside it and looks away.
  await stage.site({
    name: "liuxi", cameras: { market: [people], bridge: [], mill: [] }, sensors: { river: [flood] },
    places: { ...square, mill: { lat: 30.9206, lon: 120.9305, heading: 0, fov: 60, range: 60, height: 4 } },
  });
  await stage.edge({ name: "yard", devices: [{ name: "gate", kind: "camera" }, { name: "fence", kind: "camera" }] });
});
beforeAll(async () => {
  await hall.stage.say("liuxi", "river", 3.4);
  ids.ended = await hall.stage.tell("yard", { device: "fence", rule: "fence", kind: "zone", class: "person", severity: "extreme", state: "closed", opened_at: ago(10 * minute), closed_at: ago(9 * minute) });
  ids.ongoing = await hall.stage.tell("yard", { device: "gate", rule: "gate", kind: "zone", class: "person", severity: "minor", opened_at: ago(12 * minute) });
  type Listed = { id: string; device: string; evidence: { complete: boolean }[] };
  const all = async () => (await hall.stage.api<{ incidents: Listed[] }>("/incidents?limit=200")).incidents;
  ids.flood = await until("the flood", async () => (await all()).find((i) => i.device === "river")?.id);
  ids.pictured = await until("an incident with its picture", async () => (await all()).find((i) => i.device === "market" && i.evidence?.some((f) => f.complete))?.id, 120_000);
});

/** What each tile says. */
const tiles = (page: Page) => page.locator("figure.tile").evaluateAll((all) => all.map((f) => ({ state: (f as HTMLElement).dataset["state"]!, words: f.textContent ?? "" })));
const live = (page: Page, n: number) => until(`${n} live tiles`, async () => { const all = await tiles(page); return all.length === n && all.every((t) => t.state === "live"); }, 60_000);
/** Whether a picture has come and is drawn. */
const drawn = (p: Person, selector: string) => until(`the picture ${selector}`, async () => p.page.locator(selector).first().evaluate((e) => (e as HTMLImageElement).complete && (e as HTMLImageElement).naturalWidth > 0));

describe.each(crossed)("%s, by %s", (language, hand) => {
  const signIn = async (path: string, size?: { width: number; height: number }) => (await hall.sits({ language, hand, ...(size && { size }) })).signIn("li.wei", path);

  it("lists what goes on first, with a word, and what has ended dimmed, with its end", async () => {
    const p = await signIn("/incidents?state=unclosed&apart=1");
    await p.row(ids.ended).waitFor();
    const order = await p.page.locator("#incidents .incident").evaluateAll((all) => all.sort((a, b) => Number(a.getAttribute("aria-posinset")) - Number(b.getAttribute("aria-posinset"))).map((e) => (e as HTMLElement).dataset["id"]));
    expect(order.indexOf(ids.ongoing)).toBeLessThan(order.indexOf(ids.ended)); // although that one is worse
    const [ongoing, ended] = [p.row(ids.ongoing), p.row(ids.ended)];
    expect(await ongoing.locator(".age.number").textContent()).toContain(p.say("condition.going"));
    expect(await ended.locator(".age.number").textContent()).toMatch(pattern(p.say("incidents.endedAgo")));
    expect(await ended.locator(".age.number").textContent()).not.toContain(p.say("condition.going"));
    const colour = (row: typeof ended) => row.evaluate((e) => getComputedStyle(e).color);
    expect(await colour(ended)).not.toBe(await colour(ongoing));
    expect(await ended.locator(".title").textContent()).toMatch(language === "en" ? /for 1\u00a0min$/ : /1分钟$/); // its age has stopped
    if (language === "en") expect(await p.page.locator("#incidents").textContent()).not.toMatch(/\d(m|s|h)\b/);
  });

  it("shows pictures in the list, beside it, in the map's card and beside cameras", async () => {
    const p = await signIn("/incidents?state=all&apart=1");
    await p.row(ids.pictured).waitFor();
    await drawn(p, `#incidents .incident[data-id="${ids.pictured}"] .thumb img`);
    await p.follow(`/map?select=incident/${ids.pictured}`);
    await drawn(p, ".card .picture img");
    await p.follow(`/incidents/${ids.flood}`);
    await drawn(p, '#nearby .camera[data-device="market"] .thumb img');
    await p.follow("/incidents?state=all&apart=1");
    await p.page.getByRole("complementary", { name: p.say("incident.title") }).waitFor(); // also at 1366
    const fits = await p.page.locator("#incidents .incident").first().evaluate((row) => row.scrollWidth <= row.clientWidth);
    expect(fits).toBe(true);
  });

  it("plays the cameras that see the place, others on request, and tells what is lost, and by whose fault", async () => {
    const p = await signIn(`/incidents/${ids.flood}`);
    await p.page.locator("#nearby .camera").nth(2).waitFor();
    expect((await p.page.locator("#play-best").textContent())!.trim()).toContain(p.say("incident.playBest", { count: 2 }));
    await p.press("#play-best");
    await live(p.page, 2);
    await p.press("#play-others");
    await live(p.page, 3);
    await p.listen();
    await hall.stage.stopHub();
    const reconnecting = p.page.locator("figure.tile .next"); // what happens next is a small line
    const lost = await until("all tiles lost, of one voice", async () => {
      const all = await tiles(p.page);
      return all.every((t) => t.state === "lost" && t.words.includes(p.say("video.cause.hub.unreachable"))) && (await reconnecting.count()) === 3 ? all : undefined;
    }, 40_000);
    const time = (t: { words: string }) => /\d\d:\d\d:\d\d/.exec(t.words)?.[0];
    for (const t of lost) {
      expect(t.words).toContain(p.say("video.state.lost"));
      expect(t.words).toMatch(pattern(p.say("video.since")));
      expect(t.words).not.toContain(p.say("video.step.site"));
    }
    const span = (t: { words: string }) => t.words.slice(t.words.indexOf(time(t)!)).slice(8, 24);
    const later = await until("the age of the last frame to grow", async () => { const all = await tiles(p.page); return all.every((t, n) => span(t) !== span(lost[n]!)) ? all : undefined; });
    expect(later.map(time)).toEqual(lost.map(time)); // the time of the last frame stands until a new one comes
    expect(later.map((t) => t.state)).toEqual(["lost", "lost", "lost"]);
    await hall.stage.startHub();
    await p.live(60_000);
    await live(p.page, 3);
    await p.hears(pattern(p.say("video.said.live")));
  });

  it("zooms a live tile and a picture, and says how far", async () => {
    const p = await signIn("/wall?n=1&cams=liuxi/bridge");
    await live(p.page, 1);
    const frame = p.page.locator("figure.tile .frame");
    const zoom = async () => Number(await frame.getAttribute("data-zoom"));
    const moved = () => frame.locator(".content").evaluate((e) => new DOMMatrix(getComputedStyle(e).transform).e);
    if (hand === "pointer") {
      const box = (await frame.boundingBox())!;
      await p.page.mouse.move(box.x + box.width / 4, box.y + box.height / 2);
      await p.page.mouse.wheel(0, -200);
      await until("enlarged by the wheel", async () => (await zoom()) > 2);
      const before = await moved();
      await p.page.mouse.down();
      await p.page.mouse.move(box.x + box.width / 4 - 60, box.y + box.height / 2, { steps: 3 });
      await p.page.mouse.up();
      expect(await moved()).toBeCloseTo(before - 60, 0);
    } else {
      await p.page.keyboard.press("1");
      await p.page.keyboard.press("+");
      await p.page.keyboard.press("+");
      await until("enlarged by keys", async () => (await zoom()) === 2.25);
      const before = await moved();
      await p.page.keyboard.press("ArrowRight");
      expect(await moved()).toBeLessThan(before);
      await p.page.keyboard.press("-");
      await until("smaller", async () => (await zoom()) === 1.5);
    }
    const factor = p.page.locator("figure.tile .factor");
    expect(await factor.textContent()).toContain(p.say("zoom.factor", { factor: "" }).trim());
    await p.press(factor.getByRole("button", { name: p.say("zoom.reset") }));
    await until("all of it again", async () => (await zoom()) === 1);
    await p.follow(`/incidents/${ids.pictured}`);
    await p.page.locator("#snapshot").waitFor();
    await p.page.keyboard.press("+");
    await p.page.locator('#incident-detail .frame[data-zoom="1.50"]').waitFor();
    await p.page.keyboard.press("0");
    await p.page.locator('#incident-detail .frame[data-zoom="1.00"]').waitFor();
  });

  it("follows the main window on a second one, with nothing around it", async () => {
    const p = await signIn("/wall");
    const popup = p.context.waitForEvent("page");
    await p.press(p.page.getByRole("button", { name: p.say("screen.open") }));
    const screen = await popup;
    await screen.getByText(p.say("screen.empty")).waitFor();
    expect(await screen.locator("nav, #link[data-state=live]").count()).toBe(0);
    await p.follow(`/incidents/${ids.flood}`);
    await screen.locator(`#screen[data-id="${ids.flood}"]`).waitFor();
    await live(screen, 2); // those that see it
    await until("the views on record, for this incident", async () => {
      const { views } = await hall.stage.api<{ views: { who: string; incident?: string; device: string; ended_at: string | null }[] }>("/views");
      return views.filter((v) => v.who === "li.wei" && v.incident === ids.flood && v.ended_at === null).map((v) => v.device).sort().join() === "bridge,market";
    }, 40_000);
    await p.follow(`/incidents/${ids.ongoing}`); // it has no place: nothing sees it
    await screen.locator(`#screen[data-id="${ids.ongoing}"]`).waitFor();
    await screen.getByText(p.say("incident.nearby.noPlace")).waitFor();
    await screen.close();
  });

  it("takes a report that is its reporter's at once, says where it stands, and is found with its device and time", async () => {
    const watcher = await (await hall.sits({ language, hand })).signIn("anna", "/incidents?state=all");
    await watcher.listen();
    const p = await signIn("/report");
    const title = `${language} ${hand} smoke above the mill 烟`;
    await p.write("#report-what", title);
    await p.press("#report-submit");
    const toast = await until("the confirmation", async () => (await p.page.locator(".toasts li").allTextContents()).find((t) => pattern(p.say("report.openedYours", { count: 2 }).replaceAll(/\d+/g, "{n}")).test(t)));
    expect(toast).toMatch(/\d/);
    const id = await until("its page", async () => /^\/incidents\/(.+)/.exec(new URL(p.page.url()).pathname)?.[1]);
    expect(await hall.stage.api(`/incidents/${id}`)).toMatchObject({ state: "acknowledged", assignee: "li.wei", state_by: "li.wei" });
    await watcher.hears(title); // everybody else hears of it
    expect(await p.page.locator("#incident-detail .facts .state").textContent()).toBe(p.say("incidents.who.mine"));

    await p.page.keyboard.press("Control+k");
    await p.page.keyboard.type("river");
    const found = p.page.locator('#palette-list [role=option]').filter({ has: p.page.locator(".note", { hasText: /\d\d:\d\d/ }) });
    await found.first().waitFor();
    expect(await found.first().textContent()).toContain("liuxi");
    await p.page.keyboard.press("Escape");
  });

  it("is light or dark as the system is, until somebody chooses", async () => {
    const p = await signIn("/incidents");
    const choose = async (label: string) => {
      await p.press("#user");
      await p.press(p.page.locator("#user + .panel [role^=menuitem]", { hasText: label }));
      expect((await focusOf(p.page)).what).toContain("button#user");
    };
    await choose(p.say("shell.theme.system"));
    for (const colorScheme of ["light", "dark", "light"] as const) {
      await p.page.emulateMedia({ colorScheme });
      await p.page.locator(`html[data-theme=${colorScheme}]`).waitFor({ state: "attached" });
    }
    await choose(p.say("shell.theme.dark"));
    await p.page.locator("html[data-theme=dark]").waitFor({ state: "attached" });
  });
});

describe("a site that goes away", () => {
  it("is told by all tiles of its edge at once, in the same words", async () => {
    const p = await (await hall.sits()).signIn("li.wei", `/incidents/${ids.flood}`);
    await p.page.locator("#play-best").click();
    await live(p.page, 2);
    await hall.stage.order("site-stop", { name: "liuxi" });
    await until("both tiles lost, for the edge is away", async () => {
      const all = await tiles(p.page);
      return all.length === 2 && all.every((t) => t.state === "lost" && t.words.includes(p.say("video.cause.site.offline")));
    }, 90_000);
    expect(await p.page.locator("#link").getAttribute("data-state")).toBe("live"); // and the hub is not blamed
    for (const t of await tiles(p.page)) expect(t.words).not.toContain(p.say("video.cause.hub.unreachable"));
  });
});
