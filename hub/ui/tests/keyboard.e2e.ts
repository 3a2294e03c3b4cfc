// What only a keyboard has: the keys for things, a round through the page; and that what is off the main
// path, which desk, first and video walk with either hand, can be done without a mouse as well.
import { describe, expect, it } from "vitest";
import { focusOf, Keyboard } from "./support/hand";
import type { Person } from "./support/people";
import { room } from "./support/room";
import { flood, password, square, until } from "./support/stage";
import { languages, pattern } from "./support/words";

const hall = room({ town: true }, async (stage) => {
  await stage.user("li.wei", "dispatcher");
  await stage.user("boss", "administrator");
  await stage.site({ name: "liuxi", cameras: { market: [], bridge: [] }, sensors: { river: [flood] }, places: square });
});

/** Where the focus is, and that it can be seen. */
async function focus(p: Person): Promise<string> {
  const at = await focusOf(p.page);
  expect(at, `${new URL(p.page.url()).pathname}: the focus is at ${at.what}`).toMatchObject({ seen: true });
  return at.what;
}

describe.each(languages)("%s", (language) => {
  it("does a shift's work by keyboard alone", async () => {
    const p = await hall.sits({ language, hand: "keyboard" });
    const keys = p.page.keyboard;
    const at = (path: string | RegExp) => until(`the address ${path}`, async () => { const u = new URL(p.page.url()); return typeof path === "string" ? u.pathname === path : path.test(u.pathname + u.search); });
    await p.go("/incidents?state=all");
    await p.page.waitForSelector("#login-user");
    await keys.type("li.wei");
    await keys.press("Tab");
    await keys.type(password);
    await keys.press("Enter");
    await p.live();

    for (const level of [0.3, 3.4]) await hall.stage.say("liuxi", "river", level);
    const id = await until("the incident", async () => (await hall.stage.api<{ incidents: { id: string; device: string; condition: string; state: string }[] }>("/incidents")).incidents.find((i) => i.device === "river" && i.condition === "open" && i.state === "open")?.id);
    await p.row(id).waitFor();
    await keys.press("Home");
    await until("it to be selected", async () => (await p.row(id).getAttribute("aria-current")) === "true");
    await focus(p);
    await keys.press("a");
    await until("acknowledged", async () => (await hall.stage.api<{ state: string }>(`/incidents/${id}`)).state === "acknowledged");
    await p.page.locator(".toasts li").getByText(pattern(p.say("incidents.done.acknowledged"))).waitFor();
    await keys.press("u");
    await until("undone", async () => (await hall.stage.api<{ state: string }>(`/incidents/${id}`)).state === "open");
    await p.page.locator(".toasts li").getByText(pattern(p.say("incidents.undone"))).waitFor(); // the page knows it too
    await keys.press("s");
    await until("mine", async () => (await hall.stage.api<{ assignee: string }>(`/incidents/${id}`)).assignee === "li.wei");
    await keys.press("n");
    await p.page.getByRole("dialog").waitFor();
    await keys.type("patrol sent");
    await keys.press("Control+Enter");
    await until("noted", async () => JSON.stringify(await hall.stage.api(`/incidents/${id}`)).includes("patrol sent"));
    await p.page.getByRole("dialog").waitFor({ state: "hidden" });

    await keys.press("Enter");
    await at(`/incidents/${id}`);
    await p.page.locator("#nearby .camera").first().waitFor();
    await keys.press("v");
    await p.page.waitForFunction(() => document.querySelectorAll("figure.tile[data-state=live]").length === 2, undefined, { timeout: 60_000 });
    await keys.press("1");
    await p.page.locator("#live-tiles.one").waitFor();
    await keys.press("Escape");
    await keys.press("Escape");
    await until("no video", async () => (await p.page.locator("figure.tile").count()) === 0);
    await keys.press("c");
    await p.page.locator("[data-outcome]").first().waitFor();
    await keys.press("1");
    await until("closed", async () => (await hall.stage.api<{ state: string }>(`/incidents/${id}`)).state === "closed");
    await keys.press("Escape");
    await at(/^\/incidents\?/);

    // Every view by its two keys; its title takes the focus, and Tab leads into it.
    for (const [second, path] of [["m", "/map"], ["d", "/devices"], ["v", "/wall"], ["i", "/incidents"]] as const) {
      await keys.press("g");
      await keys.press(second);
      await at(path);
      await p.page.locator("#main input, #main button, #main a").first().waitFor();
      await until("the focus on the title", async () => p.page.evaluate(() => document.activeElement?.matches("h1, main")));
      await keys.press("Tab");
      expect(await focus(p), path).toBeTruthy();
      await keys.press("Shift+Tab"); // out of a field, where letters are letters
    }
    await keys.press("?");
    await p.page.getByRole("dialog").getByText(p.say("keys.group.go"), { exact: true }).waitFor();
    await keys.press("Escape");
    await keys.press("Control+k");
    await p.page.locator("#palette input").waitFor();
    await keys.type(p.say("shell.go.devices"));
    await keys.press("Enter");
    await at("/devices");
    await keys.press("Control+k");
    await keys.type("market");
    await p.page.locator("#palette [role=option]", { hasText: "liuxi" }).first().waitFor();
    await keys.press("Enter");
    await at("/devices/liuxi/market");
    await p.page.goBack();
    await at("/devices");
    await p.page.locator('#main a[href="/devices/liuxi/market"]').waitFor();
    await until("the focus in the view", async () => p.page.evaluate(() => document.activeElement?.closest("main") !== null && document.activeElement !== document.body));

    // Round the whole page once: the focus can always be seen and comes back.
    const seen = new Set<string>();
    for (let n = 0, ends = 0; n < 120 && ends < 2; n += 1) {
      await keys.press("Tab");
      if (await p.page.evaluate(() => !document.activeElement || document.activeElement === document.body)) ends += 1; // the browser's own part
      else seen.add(await focus(p));
    }
    expect(seen.size).toBeGreaterThan(12);
  });

  it("narrows the list, and sees it whole again", async () => {
    const titles = { moderate: `${language}: smoke above the mill`, minor: `${language}: a lamp is out` };
    for (const [severity, title] of Object.entries(titles)) await hall.stage.api("/reports", { body: { title, severity } });
    const p = await (await hall.sits({ language, hand: "keyboard" })).signIn("li.wei", "/incidents");
    const keys = p.page.keyboard;
    const shown = (...wanted: string[]) => until(`only ${wanted}`, async () => {
      const all = (await p.page.locator("#incidents .title").allTextContents()).filter((t) => t.startsWith(language));
      return JSON.stringify(all) === JSON.stringify(wanted);
    });
    await shown(titles.moderate, titles.minor); // the worst first
    await keys.press("f");
    await keys.type("LAMP");
    await shown(titles.minor);
    await until("it in the address", async () => new URL(p.page.url()).searchParams.get("q") === "LAMP");
    await keys.press("Escape");
    await keys.press("Shift+X");
    await shown(titles.moderate, titles.minor);
    await p.press('.filters [data-severity="minor"]');
    await shown(titles.minor);
    await p.press('.filters [data-state="closed"]');
    await shown();
    await p.press(p.page.locator(".filters").getByRole("button", { name: p.say("incidents.clear") }));
    await p.press('.filters [data-state="all"]');
    await shown(titles.moderate, titles.minor);
    // A choice of many: by the first letter of its words, as everywhere.
    const sites = p.page.getByLabel(p.say("incidents.filter.site"), { exact: true });
    await (p.hand as Keyboard).reach(sites);
    await keys.press("ArrowDown");
    await until("one site alone", async () => new URL(p.page.url()).searchParams.get("site"));
    await keys.press("Home");
    await shown(titles.moderate, titles.minor);
  });

  it("chooses the cameras of the wall, enlarges one and saves its picture", async () => {
    const p = await (await hall.sits({ language, hand: "keyboard" })).signIn("li.wei", "/wall?n=4");
    const keys = p.page.keyboard;
    for (const [key, camera] of [["1", "market"], ["2", "bridge"]] as const) {
      if (key !== "1") await keys.press(key);
      await keys.press("c");
      await p.page.getByRole("dialog").getByRole("combobox").waitFor();
      await keys.type(camera);
      await p.page.getByRole("option", { name: camera }).first().waitFor();
      await keys.press("Enter");
      await p.page.waitForSelector(`figure.tile[data-device=${camera}][data-state=live]`, { timeout: 60_000 });
      await until("the focus on the tile", async () => p.page.evaluate((n) => document.activeElement?.getAttribute("data-tile") === n, String(Number(key) - 1)));
    }
    await keys.press("Enter");
    await p.page.waitForSelector(".slot.big figure.tile[data-device=bridge]");
    await keys.press("Escape");
    await p.page.waitForFunction(() => !document.querySelector(".slot.big"));
    await keys.press("1");
    const download = p.page.waitForEvent("download");
    await keys.press("s");
    expect((await download).suggestedFilename()).toMatch(/^liuxi.*market/);
    await keys.press("Delete");
    await until("its place free", async () => (await p.page.locator("figure.tile").count()) === 1);
    await p.press("figure.tile button:last-of-type"); // and what has a button is reached
    await p.page.waitForFunction(() => document.fullscreenElement !== null);
    await keys.press("Escape");
  });

  it("sets language, theme, sound and password, and signs out", async () => {
    const user = await hall.stage.user(`anna-${language.toLowerCase()}`, "dispatcher");
    const p = await (await hall.sits({ language, hand: "keyboard" })).signIn(user, "/devices");
    const keys = p.page.keyboard;
    const choose = async (label: string) => {
      await p.press("#user");
      await p.press(p.page.locator("#user + .panel [role^=menuitem]", { hasText: label }));
      expect((await focusOf(p.page)).what).toContain("button#user"); // given back
    };
    await choose(p.say("shell.theme.light"));
    await p.page.waitForSelector("html[data-theme=light]");
    const other = language === "en" ? "中文" : "English";
    await choose(other);
    await p.page.waitForSelector(`html[lang=${language === "en" ? "zh-CN" : "en"}]`);
    await choose(language === "en" ? "English" : "中文");
    await p.page.waitForSelector(`html[lang=${language}]`);

    await p.press("#sound");
    for (let n = 0; n < 2; n += 1) await keys.press("Shift+Tab"); // from the choices to the severity and the volume above them
    const volume = p.page.getByLabel(p.say("sound.volume"));
    const loud = Number(await volume.inputValue());
    await keys.press(loud < 1 ? "ArrowRight" : "ArrowLeft");
    await until("another volume", async () => Number(await volume.inputValue()) !== loud);
    await keys.press("Escape");
    await p.press("#sound");
    await p.press("#sound + .panel [data-id^=mute]:first-child");
    await p.page.locator("#sound .until").waitFor();

    await p.press("#user");
    await p.press('#user + .panel [data-id="password"]');
    const dialog = p.page.getByRole("dialog");
    const field = (name: string) => dialog.getByLabel(p.say(`password.${name}`), { exact: true });
    await p.write(field("current"), "not this one");
    await p.write(field("next"), "another good one");
    await p.write(field("again"), "another good one");
    await keys.press("Enter");
    await dialog.getByText(p.say("password.wrong")).waitFor();
    await p.write(field("current"), password);
    await p.press(dialog.getByRole("button", { name: p.say("password.submit") }));
    await p.page.locator(".toasts").getByText(p.say("password.changed")).waitFor();
    await dialog.waitFor({ state: "hidden" });

    await p.press("#user");
    await p.press('#user + .panel [data-id="out"]');
    await p.page.waitForSelector("#login-user");
    await until("the focus on the name", async () => (await focusOf(p.page)).what.startsWith("input#login-user"));
    await keys.type(user);
    await keys.press("Tab");
    await keys.type("another good one");
    await keys.press("Enter");
    await p.live();
  });

  it("goes back to where it was when a dialog closes", async () => {
    const p = await (await hall.sits({ language, hand: "keyboard" })).signIn("boss", "/admin/users");
    for (const page of ["users", "tokens", "edges", "webhooks"] as const) {
      await p.press(`main a[href="/admin/${page}"]`);
      const opener = p.page.locator(".page > .bar button");
      await p.press(opener);
      await p.page.getByRole("dialog").waitFor();
      await p.page.keyboard.press("Escape");
      await p.page.getByRole("dialog").waitFor({ state: "hidden" });
      expect(await opener.evaluate((e) => e === document.activeElement), page).toBe(true);
    }
    await p.press("header button.find");
    await p.page.locator("#palette input").waitFor();
    await p.page.keyboard.press("Escape");
    await until("the focus back", async () => p.page.locator("header button.find").evaluate((e) => e === document.activeElement));
  });
});
