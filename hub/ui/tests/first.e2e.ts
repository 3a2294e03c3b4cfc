// What comes first: a hub that knows nothing yet, a report by phone, and roles that may not.
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { openBrowser, Person } from "./support/people";
import { Stage, until } from "./support/stage";
import { languages, pattern } from "./support/words";

let stage: Stage;
let browser: Browser;
const present: Person[] = [];

beforeAll(async () => {
  [stage, browser] = await Promise.all([Stage.start({ town: true }), openBrowser()]);
  await stage.user("boss", "administrator");
  await stage.user("li.wei", "dispatcher");
  await stage.user("guest", "monitor");
});
afterAll(async () => {
  await browser?.close();
  await stage?.end();
});
afterEach(async () => {
  const all = present.splice(0);
  try {
    for (const p of all) p.check();
  } finally {
    for (const p of all) await p.leaves();
  }
});

async function sits(language: (typeof languages)[number]): Promise<Person> {
  const p = await Person.sits(browser, stage.url, { language });
  present.push(p);
  return p;
}

describe.each(languages)("an empty hub, %s", (language) => {
  it("leads an administrator to the first box", async () => {
    const p = await (await sits(language)).signIn("boss");
    await p.page.waitForFunction(() => location.pathname === "/welcome");
    await p.page.getByText(p.say("welcome.lead")).waitFor();
    await p.page.getByRole("link", { name: p.say("welcome.add.do") }).click();
    await p.page.waitForFunction(() => location.pathname === "/admin/boxes");
    const name = `yard-${language.toLowerCase()}`;
    const dialog = p.page.getByRole("dialog");
    await dialog.getByRole("textbox").first().fill(name);
    await dialog.getByRole("textbox").first().press("Enter");
    await p.page.locator("[data-qr], .qr, svg[role=img]").first().waitFor();
    const { edges } = await stage.api<{ edges: { name: string; state: string }[] }>("/edges");
    expect(edges.map((e) => `${e.name} ${e.state}`)).toContain(`${name} pending`);
    await stage.order("forget", { name }).catch(() => {}); // revoked below
    await stage.api(`/edges/${name}`, { method: "DELETE" }).catch(() => {});
  });
});

describe.each(languages)("%s", (language) => {
  it("takes a report by phone", async () => {
    const watcher = await (await sits(language)).signIn("li.wei", "/incidents?state=all");
    await watcher.listen();
    const p = await (await sits(language)).signIn("li.wei", "/report");
    const main = p.page.locator("#main");
    await main.locator("form").waitFor();
    expect(await p.page.textContent("h1")).toBe(p.say("report.title"));
  });

  it("shows a monitor no video and no administration", async () => {
    const p = await (await sits(language)).signIn("guest", "/admin/users");
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
