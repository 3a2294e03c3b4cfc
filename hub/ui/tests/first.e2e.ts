// What comes first: a hub that knows nothing yet, a report by phone, and roles that may not.
import { describe, expect, it } from "vitest";
import { readCode } from "./support/code";
import { ways } from "./support/people";
import { room } from "./support/room";
import { until } from "./support/stage";
import { languages } from "./support/words";

describe.each(ways)("an empty hub, %s, by %s", (language, hand) => {
  const hall = room({}, async (stage) => void (await stage.user("boss", "administrator")));

  it("leads an administrator to the first edge", async () => {
    const p = await (await hall.sits({ language, hand })).signIn("boss");
    await p.page.waitForFunction(() => location.pathname === "/welcome");
    await p.page.getByText(p.say("welcome.lead")).waitFor();
    await p.press(p.page.getByRole("link", { name: p.say("welcome.add.do") }));
    await p.page.waitForFunction(() => location.pathname === "/admin/edges");
    const name = `yard-${language.toLowerCase()}`;
    const dialog = p.page.getByRole("dialog");
    await p.write(dialog.getByRole("textbox"), name);
    await p.press(dialog.getByRole("button", { name: p.say("admin.edges.makeToken") }));
    await dialog.locator("svg[role=img]").waitFor(); // the token's QR code
    const { edges } = await hall.stage.api<{ edges: { name: string; state: string }[] }>("/edges");
    expect(edges.map((e) => `${e.name} ${e.state}`)).toContain(`${name} pending`);
    await p.press(dialog.getByRole("button", { name: p.say("admin.done") }));
    await p.page.locator(`[data-edge="${name}"]`).waitFor();
    await p.press(p.page.getByRole("button", { name: p.say("admin.edges.add") })); // the focus is back where it was
  });
});

const hall = room({ town: true }, async (stage) => {
  await stage.user("boss", "administrator");
  await stage.user("li.wei", "dispatcher");
  await stage.user("guest", "monitor");
});

describe.each(ways)("%s, by %s", (language, hand) => {
  it("takes a report by phone, with a place, and everybody sees it", async () => {
    const watcher = await (await hall.sits({ language, hand })).signIn("li.wei", "/incidents?state=all");
    await watcher.listen();
    const p = await (await hall.sits({ language, hand })).signIn("boss", "/report");
    const words = `${language}, ${hand}: a tree lies across the road 树`;
    await p.page.waitForFunction(() => document.activeElement?.id === "report-what"); // type at once
    await p.page.keyboard.type(words);
    await p.page.keyboard.press("Enter");
    // The place by search: in the made-up town's own names.
    await p.page.keyboard.type(language === "en" ? "Town Square" : "镇前广场");
    await p.page.getByRole("option").first().waitFor();
    await p.page.keyboard.press("Enter");
    await p.press("label.severe");
    await p.write("#report-who", "Ms Wang 王女士, 555 0101");
    await p.write("#report-remarks", "Two lanes are blocked.");
    await p.press("#report-submit");
    await p.page.waitForFunction(() => /^\/incidents\/.+/.test(location.pathname));
    const id = new URL(p.page.url()).pathname.split("/")[2]!;
    await until("its page", async () => (await p.page.textContent("h1")) === words);
    await watcher.row(id).waitFor();
    await watcher.hears(words);
    const made = await hall.stage.api<{ source: string; severity: string; place: { lat: number; lon: number } | null; timeline: { kind: string; who: string; text: string }[] }>(`/incidents/${id}`);
    expect(made).toMatchObject({ source: "report", severity: "severe" });
    expect(made.place?.lat).toBeCloseTo(30.92, 1);
    expect(made.timeline[0]).toMatchObject({ kind: "reported", who: "boss" });
    expect(made.timeline[0]!.text).toContain("555 0101");
    expect((await hall.stage.api<{ incidents: { title: string }[] }>("/incidents?limit=200")).incidents.filter((i) => i.title === words)).toHaveLength(1);
  });

  it("shows a monitor no video and no administration", async () => {
    const p = await (await hall.sits({ language, hand })).signIn("guest", "/admin/users");
    await p.page.getByText(p.say("shell.refused.what", { role: p.say("role.monitor") })).waitFor();
    await p.follow("/wall");
    await p.page.getByText(p.say("shell.refused.what", { role: p.say("role.monitor") })).waitFor();
    expect(await p.page.locator("video").count()).toBe(0);
    expect(await p.page.locator('a[href^="/admin"], a[href="/wall"], a[href="/report"]').count()).toBe(0);
    // Not only the page says No.
    for (const [path, method] of [["/api/v1/users", "GET"], ["/whep/gate-7/yard?reason=x", "POST"], ["/api/v1/reports", "POST"]] as const) {
      const status = await p.page.evaluate(async ([path, method]) => (await fetch(path, { method, body: method === "POST" ? "{}" : null, headers: { "Content-Type": path.startsWith("/whep") ? "application/sdp" : "application/json" } })).status, [path, method] as const);
      expect([path, status]).toEqual([path, 403]);
    }
  });
});

describe.each(languages)("the token of a new edge, %s", (language) => {
  it.each(["dark", "light"] as const)("is shown as a picture that a phone can read, %s", async (theme) => {
    const p = await (await hall.sits({ language, theme })).signIn("boss", "/admin/edges?add=1");
    const dialog = p.page.getByRole("dialog");
    await p.write(dialog.getByRole("textbox"), `gate-${language.toLowerCase()}-${theme}`);
    await p.press(dialog.getByRole("button", { name: p.say("admin.edges.makeToken") }));
    const token = await dialog.getByLabel(p.say("admin.edges.token")).inputValue();
    expect(token.length).toBeGreaterThan(20);
    expect(await dialog.getByLabel(p.say("admin.edges.command")).inputValue()).toContain(token);
    expect(readCode(await dialog.locator("svg[role=img]").screenshot())).toEqual([token]);
  });
});
