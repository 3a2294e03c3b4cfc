// A shift without a mouse: signing in, an incident from its arrival to its end, live video, a report,
// the palette and the keys.
import { describe, expect, it } from "vitest";
import { focusOf } from "./support/hand";
import type { Person } from "./support/people";
import { room } from "./support/room";
import { flood, password, square, until } from "./support/stage";
import { languages, pattern } from "./support/words";

const hall = room({ town: true }, async (stage) => {
  await stage.user("li.wei", "dispatcher");
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
    const id = await until("the incident", async () => (await hall.stage.api<{ incidents: { id: string; condition: string; state: string }[] }>("/incidents")).incidents.find((i) => i.condition === "open" && i.state === "open")?.id);
    await p.row(id).waitFor();
    await keys.press("Home");
    await until("it to be selected", async () => (await p.row(id).getAttribute("aria-current")) === "true");
    await focus(p);
    await keys.press("a");
    await until("acknowledged", async () => (await hall.stage.api<{ state: string }>(`/incidents/${id}`)).state === "acknowledged");
    await p.page.locator(".toasts li").getByText(pattern(p.say("incidents.done.acknowledged"))).waitFor();
    await keys.press("u");
    await until("undone", async () => (await hall.stage.api<{ state: string }>(`/incidents/${id}`)).state === "open");
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

    // Round the whole page once: the focus can always be seen and comes back.
    const seen = new Set<string>();
    for (let n = 0, ends = 0; n < 120 && ends < 2; n += 1) {
      await keys.press("Tab");
      if (await p.page.evaluate(() => !document.activeElement || document.activeElement === document.body)) ends += 1; // the browser's own part
      else seen.add(await focus(p));
    }
    expect(seen.size).toBeGreaterThan(12);
  });
});
