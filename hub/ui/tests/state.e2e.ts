// What the console knows, when several people and tabs are at it: actions of two at once, undo, the one stream of a
// browser, the language, clocks that are wrong, and views that are left before their first frame.
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, it } from "vitest";
import { settle } from "./support/settle";
import { room } from "./support/room";
import { square, until } from "./support/stage";
import { languages, type Say, speaker } from "./support/words";

const cameras = ["market", "bridge"];
const many = 1100; // incidents that wait

const desk = room({}, async (stage) => {
  for (const name of ["li.wei", "anna"]) await stage.user(name, "dispatcher");
  await stage.site({ name: "liuxi", cameras: Object.fromEntries(cameras.map((c) => [c, []])), places: square });
  await stage.edge({ name: "gate", devices: [{ name: "level", kind: "sensor", unit: "m", place: square["river"]! }] });
  await stage.crowd({ edges: 1, devices: 1, incidents: many, open: many });
});

/** An incident that has just been opened. */
const opens = (rule: string) => desk.stage.tell("gate", { device: "level", rule, kind: "above", severity: "extreme", value: 3.4, limit: 3, unit: "m" });
const assignee = async (id: string) => (await desk.stage.api<{ assignee: string }>(`/incidents/${id}`)).assignee;
const toast = (page: Page, words: string) => page.locator(".toasts li", { hasText: words }).first();

/** Holds the events of the live stream back from a page: it does not see what others do. */
async function blind(page: Page): Promise<void> {
  await page.evaluate(() => {
    const read = ReadableStreamDefaultReader.prototype.read;
    ReadableStreamDefaultReader.prototype.read = function (this: ReadableStreamDefaultReader<unknown>) {
      return new Promise((done, failed) => setTimeout(() => read.call(this).then(done as (r: unknown) => void, failed), 15_000)) as ReturnType<typeof read>;
    } as typeof read;
  });
}

describe.each(languages)("%s", (language) => {
  it("an incident that somebody else has taken meanwhile is not taken from them unseen, but can be", async () => {
    const id = await opens(`two-${language}`);
    const one = await (await desk.sits({ language })).signIn("li.wei", `/incidents/${id}`);
    const assign = one.page.locator("#assign");
    await assign.waitFor();
    await blind(one.page);
    const anna = await desk.stage.as("anna");
    // The read that is under way still brings one event; what comes after it is held back.
    const count = one.page.locator("nav .count");
    const before = await count.textContent();
    await opens(`other-${language}`);
    await until("the last event that is seen", async () => (await count.textContent()) !== before);
    await anna(`/incidents/${id}/assign`, { body: { assignee: "anna" } });
    await assign.click();
    const message = toast(one.page, one.say("incidents.meanwhile.took", { who: "anna" }));
    await message.waitFor();
    expect(await assignee(id)).toBe("anna");
    await message.getByRole("button", { name: one.say("incidents.anyway") }).click();
    await toast(one.page, one.say("incidents.done.mine", { title: "" }).trim()).waitFor();
    expect(await assignee(id)).toBe("li.wei");
  });

  it("undo takes back one's own action, and nobody else's", async () => {
    const [mine, taken] = [await opens(`own-${language}`), await opens(`taken-${language}`)];
    const p = await (await desk.sits({ language })).signIn("li.wei", `/incidents/${mine}`);
    await p.page.locator("#acknowledge").click();
    await toast(p.page, p.say("incidents.done.acknowledged", { title: "" }).trim()).getByRole("button", { name: p.say("ui.undo") }).click();
    await until("it waits again", async () => (await desk.stage.api<{ state: string }>(`/incidents/${mine}`)).state === "open");

    await p.follow(`/incidents/${taken}`);
    await p.page.waitForFunction((path) => location.pathname === path, `/incidents/${taken}`);
    await p.page.locator("#acknowledge:not([disabled])").click();
    const done = toast(p.page, p.say("incidents.done.acknowledged", { title: "" }).trim());
    await done.waitFor();
    const anna = await desk.stage.as("anna");
    await anna(`/incidents/${taken}/assign`, { body: { assignee: "anna" } });
    await done.getByRole("button", { name: p.say("ui.undo") }).click();
    await toast(p.page, p.say("incidents.meanwhile.took", { who: "anna" })).waitFor();
    expect(await assignee(taken)).toBe("anna");
  });
});

/** Chooses in the person's menu. */
async function menu(page: Page, item: string): Promise<void> {
  await page.locator("#user").click();
  await page.getByRole("menu").getByText(item, { exact: true }).click();
}

it("a change of the language begins no view anew, and fetches nothing", async () => {
  const p = await (await desk.sits()).signIn("li.wei", `/wall?n=4&cams=${cameras.map((c) => `liuxi/${c}`).join(",")}`);
  await settle(p.page, p.say, cameras.length);
  const asked: string[] = [];
  p.context.on("request", (r) => asked.push(`${r.method()} ${new URL(r.url()).pathname}`));
  for (const [word, tag] of [["中文", "zh-CN"], ["English", "en"], ["中文", "zh-CN"]] as const) {
    await menu(p.page, word);
    await p.page.waitForSelector(`html[lang=${tag}]`);
    await p.page.waitForTimeout(1500);
  }
  const watched = asked.filter((a) => /whep|live/.test(a) && !a.startsWith("GET /whep"));
  expect(watched).toEqual([]);
  expect(asked.filter((a) => a.includes("/api/") && !/duty/.test(a))).toEqual([]);
  expect(await p.page.locator("figure.tile[data-state=live]").count()).toBe(cameras.length);
});

describe.each([["by Web Locks", true], ["by messages, as by plain HTTP from another machine", false]])("six tabs of a browser, %s,", (_, locks) => {
  it("have one stream, whichever of them is closed, and are signed out together", { timeout: 240_000 }, async () => {
    const p = await desk.sits();
    if (!locks) await p.context.addInitScript(() => Object.defineProperty(Navigator.prototype, "locks", { value: undefined }));
    const streams: string[] = [];
    p.context.on("request", (r) => { if (new URL(r.url()).pathname === "/api/v1/stream") streams.push(r.headers()["last-event-id"] ?? "now"); });
    await p.signIn("li.wei", "/incidents");
    const tabs = [p.page];
    for (let n = 1; n < 6; n += 1) {
      const tab = await p.context.newPage();
      await tab.goto(`${desk.stage.url}/incidents`);
      await tab.waitForSelector("#link[data-state=live]");
      tabs.push(tab);
    }
    expect(streams).toEqual(["now"]);
    const seen = async (id: string) => { for (const t of tabs) await t.locator(`#incidents .incident[data-id="${id}"]`).waitFor(); };
    await seen(await opens("six"));
    // None waits for a connection: the last one gets its answers.
    expect(await tabs[5]!.evaluate(() => fetch("/api/v1/session").then((r) => r.status))).toBe(200);

    await tabs.shift()!.close();
    await seen(await opens("five"));
    await tabs.shift()!.close();
    await seen(await opens("four"));
    // With locks the oldest tab leads; by messages it may be any, so that the end of a tab needs not change the stream.
    expect(locks ? [3] : [1, 2, 3]).toContain(streams.length);
    expect(streams.slice(1).every((last) => Number(last) > 0)).toBe(true); // each went on after the last event that it had seen

    await menu(tabs[0]!, p.say("shell.signOut"));
    for (const t of tabs) await t.waitForSelector("#login-user");
    // And in again.
    await tabs[0]!.fill("#login-user", "anna");
    await tabs[0]!.fill("#login-password", "correct horse battery");
    await tabs[0]!.click("#login-submit");
    for (const t of tabs) await t.waitForSelector("#link[data-state=live]");
  });
});

describe.each([["an hour behind", -3_600_000], ["2 s behind", -2000], ["2 s ahead", 2000], ["a day ahead", 86_400_000]])("a desk clock %s", (_, wrong) => {
  it("fetches nothing again and again, and shows the hub's time", async () => {
    const id = (await desk.stage.api<{ incidents: { id: string }[] }>("/incidents?limit=1")).incidents[0]!.id;
    const p = await desk.sits();
    await p.context.addInitScript((ms) => {
      const Real = Date;
      const now = Real.now.bind(Real);
      Date = class extends Real {
        constructor(...a: unknown[]) {
          if (a.length === 0) super(now() + ms);
          else super(...(a as [number]));
        }
        static override now() { return now() + ms; }
      } as DateConstructor;
    }, wrong);
    await p.signIn("li.wei", "/devices/gate/level");
    await settle(p.page, p.say);
    const asked: string[] = [];
    p.context.on("request", (r) => asked.push(new URL(r.url()).pathname));
    await p.page.waitForTimeout(5000);
    await p.follow(`/incidents/${id}`);
    await p.page.locator("#acknowledge").waitFor();
    await p.page.waitForTimeout(5000);
    expect(asked.length, asked.join(" ")).toBeLessThan(25);
    const shown = await p.page.locator("time.clock").getAttribute("datetime");
    expect(Math.abs(Date.parse(shown!) - Date.now())).toBeLessThan(Math.abs(wrong) > 3000 ? 60_000 : Infinity); // a busy machine may be late, not by an hour
    if (Math.abs(wrong) > 3000) await p.page.locator("#link .skew").waitFor();
  });
});

it("the number of open incidents is exact, and seen whole", async () => {
  const { incidents } = await desk.stage.api<{ incidents: unknown[] }>("/incidents?state=open&limit=500");
  expect(incidents.length).toBe(500); // more than a page
  for (const size of [{ width: 1366, height: 768 }, { width: 683, height: 384 }, { width: 390, height: 844 }]) {
    const p = await (await desk.sits({ size })).signIn("li.wei", "/incidents");
    const count = p.page.locator("nav .count");
    await until("all of them", async () => Number((await count.textContent())!.replace(/\D/g, "")) >= many);
    const cut = await count.evaluate((e) => {
      const [box, nav] = [e.getBoundingClientRect(), e.closest("nav")!.getBoundingClientRect()];
      return e.scrollWidth > e.clientWidth + 1 || box.left < nav.left || box.right > nav.right || box.top < nav.top;
    });
    expect(cut, `${size.width} wide`).toBe(false);
    await p.leaves();
  }
});

describe("a view that is left before its first frame", () => {
  interface View { id: string; who: string; reason: string; ended_at: string | null; ended_code?: string }
  const views = async () => (await desk.stage.api<{ views: View[] }>("/views?limit=200")).views;
  let before = new Set<string>();
  beforeAll(async () => void (before = new Set((await views()).map((v) => v.id))));

  it("is on record as left by the viewer, whether the view or the page is left", { timeout: 300_000 }, async () => {
    const say: Say = speaker("en");
    const reasons = { view: say("devices.look.reason.check"), page: say("devices.look.reason.aim") };
    for (const ms of [0, 120, 400]) {
      for (const way of ["view", "page"] as const) {
        const p = await (await desk.sits()).signIn("anna", "/incidents");
        let pending = 0; // requests of views
        const counts = (by: number) => (r: { url: () => string }) => void (pending += /whep|\/live/.test(r.url()) ? by : 0);
        p.page.on("request", counts(1)).on("requestfinished", counts(-1)).on("requestfailed", counts(-1));
        await p.follow(`/wall?n=1&cams=liuxi/market&why=${encodeURIComponent(reasons[way])}`);
        await p.page.waitForSelector("figure.tile");
        await p.page.waitForTimeout(ms);
        if (way === "view") {
          await p.follow("/incidents");
          await p.page.waitForSelector("#incidents");
          for (let quiet = 0; quiet < 5; quiet = pending === 0 ? quiet + 1 : 0) await p.page.waitForTimeout(100);
        }
        await p.page.close({ runBeforeUnload: false });
        await p.leaves();
      }
    }
    const all = await until("the ends of all views", async () => {
      const own = (await views()).filter((v) => v.who === "anna" && !before.has(v.id));
      return own.length > 0 && own.every((v) => v.ended_at !== null) && own;
    }, 60_000);
    // A page that is closed while the answer is on its way to it cannot say so any more: it was never reached then.
    const left = ["video_viewer_ended", "video_viewer_closed"];
    expect(all.filter((v) => !(v.reason === reasons.page ? [...left, "video_viewer_unreachable"] : left).includes(v.ended_code ?? ""))).toEqual([]);
  });
});
