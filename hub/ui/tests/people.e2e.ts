// What each kind of person comes for: supervisor, administrator, dispatcher, somebody new, and whoever has a phone
// in the hand. In both languages, and by keyboard alone.
import { readFile } from "node:fs/promises";
import type { Locator } from "playwright-core";
import { describe, expect, it } from "vitest";
import { Keyboard } from "./support/hand";
import { type Person, crossed } from "./support/people";
import { room } from "./support/room";
import { password, until } from "./support/stage";
import { languages, pattern } from "./support/words";

const of = (language: string, hand: string) => `${language.toLowerCase()}-${hand}`;
const looked: string[] = []; // the incidents that somebody looked at a camera for
const hall = room({ config: "demo: true\n" }, async (stage) => {
  for (const name of ["boss", "head"]) await stage.user(name, "administrator");
  for (const name of ["li", "wang", "away", ...crossed.map(([l, h]) => `old-${of(l, h)}`)]) await stage.user(name, "dispatcher");
  await stage.site({ name: "liuxi", cameras: { market: [] } });
  await stage.edge({ name: "gate-7", devices: [{ name: "yard", kind: "camera" }, { name: "river", kind: "sensor", unit: "m" }] });
  const incident = await stage.tell("gate-7", { device: "yard", rule: "fence", kind: "line", severity: "severe" });
  looked.push(incident);
  await watch(stage.url, "li", `/api/v1/live/liuxi/market?incident=${incident}`);
  await watch(stage.url, "wang", "/api/v1/live/liuxi/market?reason=a+look");
});

/** Somebody watches a camera until its first bytes come. */
async function watch(url: string, user: string, path: string): Promise<void> {
  const session = await fetch(`${url}/api/v1/session`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ user, password }) });
  const cookie = session.headers.getSetCookie()[0]!.split(";")[0]!;
  await until(`the video for ${user}`, async () => {
    const video = await fetch(url + path, { headers: { Cookie: cookie } });
    const first = video.ok && video.body ? await video.body.getReader().read() : undefined;
    await video.body?.cancel().catch(() => {});
    return first?.value?.length;
  }, 60_000);
}

/** Chooses in a list that opens downwards. */
async function choose(p: Person, select: Locator, value: string): Promise<void> {
  if (!(p.hand instanceof Keyboard)) return void (await select.selectOption(value));
  await p.hand.reach(select);
  for (let n = 0; n < 80 && (await select.inputValue()) !== value; n += 1) await p.page.keyboard.press("ArrowDown");
  expect(await select.inputValue()).toBe(value);
}

const rows = (p: Person) => p.page.locator("main tbody tr");

describe.each(crossed)("a supervisor, %s, by %s", (language, hand) => {
  it("sees who watched what, and for which incident", async () => {
    const p = await (await hall.sits({ language, hand })).signIn("boss", "/admin/views");
    const [incident] = looked;
    await rows(p).filter({ hasText: "wang" }).first().waitFor();
    expect(await rows(p).filter({ hasText: "li" }).locator(`a[href="/incidents/${incident}"]`).count()).toBeGreaterThan(0);

    await p.write(p.page.getByLabel(p.say("records.who")), "li");
    await p.page.keyboard.press("Enter");
    await until("only what li watched", async () => (await rows(p).count()) > 0 && (await rows(p).filter({ hasText: "wang" }).count()) === 0);
    expect(new URL(p.page.url()).search).toBe("?who=li");
    await p.press(p.page.getByRole("button", { name: p.say("records.clear") }));
    await rows(p).filter({ hasText: "wang" }).first().waitFor();

    await p.press(p.page.getByLabel(p.say("records.noIncident")));
    await until("only views without an incident", async () => (await rows(p).count()) > 0 && (await rows(p).locator('a[href^="/incidents/"]').count()) === 0);
    const [download] = await Promise.all([p.page.waitForEvent("download"), p.press(p.page.getByRole("link", { name: p.say("records.export") }))]);
    const table = (await readFile(await download.path(), "utf8")).trimEnd().split("\r\n");
    expect(table[0]).toMatch(/^\ufeffbegan_at,ended_at,seconds,who,/);
    expect(table.slice(1).every((line) => line.includes(",wang,") && line.includes(",a look,"))).toBe(true);
    expect(table.length).toBeGreaterThan(1);

    await choose(p, p.page.getByLabel(p.say("records.camera")), "gate-7/yard");
    await p.page.getByText(p.say("records.none")).waitFor(); // nobody has watched that one
  });

  it("sees who did what, that the chain is intact, and has it verified", async () => {
    const p = await (await hall.sits({ language, hand })).signIn("boss", "/admin/audit");
    const intact = pattern(p.say("audit.intact")).source;
    await p.page.getByText(new RegExp(intact)).waitFor();
    const { state } = await hall.stage.api<{ state: { last: number; hash: string } }>("/audit?limit=1");
    await until("the head of the chain", async () => (await p.page.getByLabel(p.say("audit.hash")).inputValue()) === state.hash);
    expect(state.hash).toMatch(/^[0-9a-f]{64}$/);

    await p.press(p.page.getByRole("button", { name: p.say("audit.verify") }));
    await rows(p).filter({ hasText: p.say("audit.did.audit-verify") }).filter({ hasText: "boss" }).first().waitFor();
    await choose(p, p.page.getByLabel(p.say("records.kind")), "view");
    await until("only who began to watch", async () => {
      const all = await rows(p).count();
      return all > 0 && (await rows(p).filter({ hasText: p.say("audit.did.view") }).count()) === all;
    });
    await p.write(p.page.getByLabel(p.say("records.who")), "wang");
    await p.page.keyboard.press("Enter");
    await until("only wang", async () => (await rows(p).count()) > 0 && (await rows(p).filter({ hasText: "wang" }).count()) === (await rows(p).count()));
    const [download] = await Promise.all([p.page.waitForEvent("download"), p.press(p.page.getByRole("link", { name: p.say("records.export") }))]);
    const table = (await readFile(await download.path(), "utf8")).trimEnd().split("\r\n");
    expect(table.slice(1).every((line) => line.includes(",wang,") && line.includes(",view,liuxi/market,"))).toBe(true);
    expect((await hall.stage.api<{ audit: { who: string }[] }>("/audit?action=audit+export&limit=1")).audit[0]).toMatchObject({ who: "boss" });
  });
});

describe.each(crossed)("an administrator, %s, by %s", (language, hand) => {
  it("gives a user another name, and what is assigned follows", async () => {
    const [before, after] = [`old-${of(language, hand)}`, `new-${of(language, hand)}`];
    const id = await hall.stage.tell("gate-7", { device: "yard", rule: "fence", kind: "line", severity: "minor" });
    await hall.stage.api(`/incidents/${id}/assign`, { body: { assignee: before } });
    const p = await (await hall.sits({ language, hand })).signIn("boss", "/admin/users");
    await p.press(rows(p).filter({ hasText: before }).getByRole("button", { name: p.say("admin.edit") }));
    const dialog = p.page.getByRole("dialog");
    const field = dialog.getByLabel(p.say("users.name"), { exact: true });
    await p.write(field, "li"); // somebody has it
    await p.press(dialog.getByRole("button", { name: p.say("users.rename") }));
    await dialog.getByText(p.say("admin.users.taken")).waitFor();
    await p.write(field, after);
    await p.press(dialog.getByRole("button", { name: p.say("users.rename") }));
    await rows(p).filter({ hasText: after }).waitFor();
    expect(await rows(p).filter({ hasText: before }).count()).toBe(0);
    expect(await hall.stage.api(`/incidents/${id}`)).toMatchObject({ assignee: after });
  });

  it("gets no command with an address that is wrong, and is told what is wrong", async () => {
    const p = await (await hall.sits({ language, hand })).signIn("boss", "/admin/edges?add=1");
    const dialog = p.page.getByRole("dialog");
    await p.write(dialog.getByRole("textbox"), `edge-${of(language, hand)}`);
    await p.press(dialog.getByRole("button", { name: p.say("admin.edges.makeToken") }));
    const [address, command] = [dialog.getByLabel(p.say("admin.edges.address")), dialog.getByLabel(p.say("admin.edges.command"))];
    await command.waitFor();
    for (const [wrong, why] of [["https://hub;reboot", p.say("address.host", { host: "hub;reboot" })], ["http://hub:8443", p.say("address.scheme")], ["https://hub:99999", p.say("address.port")]] as const) {
      await p.write(address, wrong);
      await dialog.getByText(why).waitFor();
      expect(await command.count()).toBe(0);
      expect(await address.getAttribute("aria-invalid")).toBe("true");
    }
    await p.write(address, "https://[fd00::1]:8443");
    expect(await command.inputValue()).toMatch(/^edge enrol 'https:\/\/\[fd00::1\]:8443' \S+$/);
  });

  it("is told what is wrong with a target, and what revoking ends", async () => {
    const p = await (await hall.sits({ language, hand })).signIn("boss", "/admin/webhooks");
    await p.press(p.page.getByRole("button", { name: p.say("admin.hooks.add") }).first());
    let dialog = p.page.getByRole("dialog");
    await p.write(dialog.getByLabel(p.say("admin.hooks.url")), "receiver.example");
    await p.press(dialog.getByRole("button", { name: p.say("admin.hooks.addDo"), exact: true }));
    await dialog.getByText(p.say("address.schemes", { schemes: "https://" })).waitFor();
    expect((await hall.stage.api<{ webhooks: unknown[] }>("/webhooks")).webhooks).toEqual([]);
    await p.page.keyboard.press("Escape");

    await p.follow("/admin/edges");
    await p.press(rows(p).filter({ hasText: "gate-7" }).getByRole("button", { name: p.say("admin.revoke") }));
    dialog = p.page.getByRole("dialog");
    await dialog.getByText(p.say("admin.edges.revoke1", { count: 2 })).waitFor();
    expect(p.say("admin.edges.revoke1", { count: 2 })).toMatch(/\b5\b/);
  });
});

describe.each(crossed)("a dispatcher, %s, by %s", (language, hand) => {
  it("assigns to somebody who is not signed in", async () => {
    const id = await hall.stage.tell("gate-7", { device: "yard", rule: "fence", kind: "line", severity: "moderate" });
    const p = await (await hall.sits({ language, hand })).signIn("li", `/incidents/${id}`);
    await p.press(p.page.getByRole("button", { name: p.say("incident.assign"), exact: true }));
    const away = p.page.getByRole("menuitemradio", { name: p.say("incident.assign.away", { user: "away" }) });
    await p.page.keyboard.type("aw"); // letters go to a name, and are no commands: "a" would acknowledge
    await until("the name", () => away.evaluate((e) => e === document.activeElement));
    await p.press(away);
    await until("the assignment", async () => (await hall.stage.api<{ assignee: string }>(`/incidents/${id}`)).assignee === "away");
    expect((await hall.stage.api<{ timeline: { kind: string }[] }>(`/incidents/${id}`)).timeline.map((f) => f.kind)).not.toContain("acknowledged");
  });

  it("is called by tone and notification while the console is in the background, without a timer", async () => {
    const p = await hall.sits({ language, hand });
    await p.context.grantPermissions(["notifications"]);
    await p.page.addInitScript(() => {
      const w = window as unknown as { asked: number; notes: string[]; tones: number; hide: () => void };
      [w.asked, w.notes, w.tones] = [0, [], 0];
      const Real = window.Notification;
      window.Notification = class extends Real {
        constructor(title: string, o?: NotificationOptions) {
          super(title, o);
          w.notes.push(title);
        }
        static override get permission(): NotificationPermission { return w.asked ? Real.permission : "default"; }
        static override requestPermission(): Promise<NotificationPermission> {
          w.asked += 1;
          return Real.requestPermission();
        }
      };
      const make = AudioContext.prototype.createOscillator;
      AudioContext.prototype.createOscillator = function (this: AudioContext) {
        w.tones += 1;
        return make.call(this);
      };
      w.hide = () => {
        Object.defineProperty(document, "hidden", { get: () => true });
        document.hasFocus = () => false;
        window.setTimeout = (() => 0) as unknown as typeof setTimeout; // as late as a timer can be
      };
    });
    await p.signIn("wang");
    const seen = () => p.page.evaluate(() => { const { asked, notes, tones } = window as unknown as { asked: number; notes: string[]; tones: number }; return { asked, notes, tones }; });
    expect(await seen()).toMatchObject({ asked: 0 }); // nobody was asked unasked
    await p.press("#sound");
    await p.press('#sound + .panel [data-id="notify"]');
    await until("the permission", async () => (await seen()).asked === 1);
    await p.page.evaluate(() => (window as unknown as { hide: () => void }).hide());
    const before = (await seen()).tones;
    await hall.stage.tell("gate-7", { device: "yard", rule: "fence", kind: "line", severity: "minor" }); // below what notifies
    await hall.stage.tell("gate-7", { device: "yard", rule: "fence", kind: "line", severity: "extreme" });
    const after = await until("the notification", async () => { const s = await seen(); return s.notes.length > 0 && s.tones > before && s; });
    expect(after.notes).toHaveLength(1);
    expect(after.notes[0]).toContain(p.say("severity.extreme"));
  });
});

describe.each(languages)("somebody new before a demonstration, %s", (language) => {
  it("reads once what is being seen and what to try", async () => {
    const p = await (await hall.sits({ language })).signIn("li");
    const hint = p.page.locator(".toasts li", { hasText: p.say("hint.demo") });
    await hint.waitFor();
    await p.page.keyboard.press("ArrowDown"); // reading on is no action
    expect(await hint.count()).toBe(1);
    await p.press(p.page.locator('nav a[href="/devices"]'));
    await hint.waitFor({ state: "detached" });
    await p.go("/");
    await p.live();
    expect(await hint.count()).toBe(0);
  });

  it("is not told for longer than a minute", async () => {
    const p = await hall.sits({ language });
    await p.page.clock.install();
    await p.signIn("li");
    const hint = p.page.locator(".toasts li", { hasText: p.say("hint.demo") });
    await hint.waitFor();
    await p.page.clock.fastForward(61_000);
    await hint.waitFor({ state: "detached" });
    await p.go("/");
    await p.live();
    expect(await hint.count()).toBe(0);
  });
});

describe.each(languages)("a phone, %s", (language) => {
  const size = { width: 390, height: 844 };

  it("reaches every page of the administration", async () => {
    const p = await (await hall.sits({ language, size, phone: true })).signIn("boss");
    await p.press("#user");
    await p.press('#user + .panel [data-id="admin"]');
    for (const page of ["users", "tokens", "edges", "webhooks", "views", "audit"]) {
      await p.press(p.page.locator(`main nav a[href="/admin/${page}"]`));
      await p.page.getByRole("heading", { level: 1, name: p.say(`admin.page.${page}`) }).waitFor();
      expect(await p.page.evaluate(() => document.querySelector("main")!.scrollWidth - innerWidth), page).toBeLessThanOrEqual(0);
    }
  });

  it("has the map above the button of a report, and the button under the thumb", async () => {
    const p = await (await hall.sits({ language, size, phone: true })).signIn("li", "/report");
    const button = p.page.locator("#report-submit");
    await button.waitFor();
    const bar = await p.page.locator("nav").last().boundingBox();
    const at = await button.boundingBox();
    expect(at!.y).toBeGreaterThan(size.height * 0.6);
    expect(at!.y + at!.height).toBeLessThanOrEqual(bar!.y);
    expect(at!.height).toBeGreaterThanOrEqual(44);
    const map = p.page.locator(".map").first();
    await map.scrollIntoViewIfNeeded();
    await p.page.locator("main").evaluate((e) => (e.scrollTop = e.scrollHeight));
    const [mapAt, buttonAt] = [await map.boundingBox(), await button.boundingBox()];
    expect(mapAt!.y + mapAt!.height).toBeLessThanOrEqual(buttonAt!.y);
    expect(await p.page.evaluate(() => document.querySelector(".map")!.compareDocumentPosition(document.querySelector("#report-submit")!) & Node.DOCUMENT_POSITION_FOLLOWING)).toBeTruthy();
  });
});
