// What comes first: a hub that knows nothing yet, a report by phone, and roles that may not.
import { describe, expect, it } from "vitest";
import { room } from "./support/room";
import { until } from "./support/stage";
import { languages } from "./support/words";

const hall = room({ town: true }, async (stage) => {
  await hall.stage.user("boss", "administrator");
  await hall.stage.user("li.wei", "dispatcher");
  await hall.stage.user("guest", "monitor");
});

describe.each(languages)("an empty hub, %s", (language) => {
  it("leads an administrator to the first box", async () => {
    const p = await (await hall.sits({ language })).signIn("boss");
    await p.page.waitForFunction(() => location.pathname === "/welcome");
    await p.page.getByText(p.say("welcome.lead")).waitFor();
    await p.page.getByRole("link", { name: p.say("welcome.add.do") }).click();
    await p.page.waitForFunction(() => location.pathname === "/admin/boxes");
    const name = `yard-${language.toLowerCase()}`;
    const dialog = p.page.getByRole("dialog");
    await dialog.getByRole("textbox").first().fill(name);
    await dialog.getByRole("textbox").first().press("Enter");
    await p.page.locator("[data-qr], .qr, svg[role=img]").first().waitFor();
    const { edges } = await hall.stage.api<{ edges: { name: string; state: string }[] }>("/edges");
    expect(edges.map((e) => `${e.name} ${e.state}`)).toContain(`${name} pending`);
  });
});

describe.each(languages)("%s", (language) => {
  it("takes a report by phone", async () => {
    const watcher = await (await hall.sits({ language })).signIn("li.wei", "/incidents?state=all");
    await watcher.listen();
    const p = await (await hall.sits({ language })).signIn("li.wei", "/report");
    const main = p.page.locator("#main");
    await main.locator("form").waitFor();
    expect(await p.page.textContent("h1")).toBe(p.say("report.title"));
  });

  it("shows a monitor no video and no administration", async () => {
    const p = await (await hall.sits({ language })).signIn("guest", "/admin/users");
    await p.page.getByText(p.say("shell.refused.what", { role: p.say("role.monitor") })).waitFor();
    await p.follow("/wall");
    await p.page.getByText(p.say("shell.refused.what", { role: p.say("role.monitor") })).waitFor();
    expect(await p.page.locator("video").count()).toBe(0);
    expect(await p.page.locator('a[href^="/admin"], a[href="/wall"], a[href="/report"]').count()).toBe(0);
    // Not only the page says No.
    for (const [path, method] of [["/api/v1/users", "GET"], ["/whep/gate-7/yard?reason=x", "POST"], ["/api/v1/incidents", "POST"]] as const) {
      const status = await p.page.evaluate(async ([path, method]) => (await fetch(path, { method, body: method === "POST" ? "{}" : null, headers: { "Content-Type": path.startsWith("/whep") ? "application/sdp" : "application/json" } })).status, [path, method] as const);
      expect([path, status]).toEqual([path, 403]);
    }
  });
});
