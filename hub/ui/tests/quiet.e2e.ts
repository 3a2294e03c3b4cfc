// A desk that is not flooded: repeats of a rule are one row, a storm stays readable, many incidents are dealt with at
// once, a rule can be muted, and closing asks for the outcome.
import type { Locator } from "playwright-core";
import { beforeEach, describe, expect, it } from "vitest";
import { type Person, crossed } from "./support/people";
import { room } from "./support/room";
import { until } from "./support/stage";
import { languages, pattern } from "./support/words";

const devices = ["gate", "yard", "hall"];
const rules = ["road", "fence"];
const hall = room({}, async (stage) => {
  for (const name of ["li.wei", "anna"]) await stage.user(name, "dispatcher");
  await stage.edge({ name: "school", devices: devices.map((name) => ({ name, kind: "camera", rules: rules.map((rule) => ({ name: rule, kind: "line", severity: "moderate" })) })) });
});

interface Row { id: string; device: string; rule: string; state: string; outcome?: string; muted_until?: string }
const every = async (query: string): Promise<Row[]> => (await hall.stage.api<{ incidents: Row[] }>(`/incidents?limit=500&${query}`)).incidents;
const get = (id: string) => hall.stage.api<Row & { timeline: { kind: string; who: string; data?: { outcome?: string } }[] }>(`/incidents/${id}`);

const happens = (device: string, rule: string, severity = "moderate") => hall.stage.tell("school", { device, rule, kind: "line", severity, class: "person" });

/** Nothing of one test is left for the next. */
beforeEach(async () => {
  const { mutes } = await hall.stage.api<{ mutes: { id: string }[] }>("/mutes");
  for (const m of mutes) await hall.stage.api(`/mutes/${m.id}`, { method: "DELETE" });
  const left = await every("state=unclosed");
  for (let n = 0; n < left.length; n += 8) await Promise.all(left.slice(n, n + 8).map((i) => hall.stage.api(`/incidents/${i.id}/close`, { body: {} })));
});

const list = (p: Person): Locator => p.page.locator("#incidents .incident");
const ids = (p: Person) => list(p).evaluateAll((all) => all.map((e) => (e as HTMLElement).dataset["id"]!));
/** How many incidents each row says that it stands for. */
const counts = async (p: Person) => (await list(p).evaluateAll((all) => all.map((e) => e.querySelector(".group")?.textContent ?? "1"))).map((text) => parseInt(text.replaceAll(",", "").trim(), 10));
const toast = (p: Person, words: string | RegExp) => p.page.locator(".toasts li").getByText(typeof words === "string" ? words : words).first().waitFor();
const shown = (p: Person, count: number) => until(`${count} shown`, async () => (await p.page.textContent("header .note"))?.includes(p.say("incidents.shown", { count })));

describe.each(languages)("%s: a storm", (language) => {
  it("of 300 incidents in 30 s stays readable", async () => {
    const p = await (await hall.sits({ language })).signIn("li.wei", "/incidents");
    const places = devices.flatMap((device) => rules.map((rule) => [device, rule] as const));
    const told = new Map(places.map(([d, r]) => [`${d}/${r}`, 1]));
    for (const [device, rule] of places) await happens(device, rule);
    await shown(p, places.length);
    const row = list(p).nth(3);
    await row.hover();
    const before = { ids: await ids(p), box: await row.boundingBox() };
    const began = Date.now();
    for (let n = 0; n < 300; n += 1) {
      const [device, rule] = places[(n * 5 + (n % 4)) % places.length]!;
      await happens(device, rule);
      told.set(`${device}/${rule}`, told.get(`${device}/${rule}`)! + 1);
      if (n % 50 === 25) {
        // No row has moved or become another one, and the console does what it is asked.
        expect(await ids(p)).toEqual(before.ids);
        expect(await row.boundingBox()).toEqual(before.box);
        const next = (Math.floor(n / 50) % places.length);
        await p.page.keyboard.press(next === 0 ? "Home" : "j");
        await until("the next row", async () => (await list(p).nth(next).getAttribute("aria-current")) === "true");
      }
      await p.page.waitForTimeout(Math.max(0, began + n * 100 - Date.now()));
    }
    await shown(p, 300 + places.length);
    expect(await ids(p)).toEqual(before.ids);
    expect(await p.page.locator("button.waiting").count()).toBe(0);
    const byId = new Map((await every("state=unclosed")).map((i) => [i.id, `${i.device}/${i.rule}`]));
    const expected = before.ids.map((id) => told.get(byId.get(id)!)!);
    expect(expected.reduce((a, b) => a + b)).toBe(300 + places.length);
    await until("exact counts", async () => JSON.stringify(await counts(p)) === JSON.stringify(expected));
    // When nobody points at it any more, the list shows the newest of each.
    await p.page.mouse.move(1, 1);
    const last = await happens("hall", "fence");
    await p.row(last).waitFor();
    expect(await list(p).count()).toBe(places.length);
    expect(await p.row(last).locator(".group").textContent()).toMatch(pattern(p.say("group.times", { count: told.get("hall/fence")! + 1 })));
    expect(await p.row(last).locator(".group .last").textContent()).toMatch(pattern(p.say("group.last")));
  });
});

describe.each(crossed)("%s, by %s: many at once", (language, hand) => {
  it("are selected, acknowledged, taken back and closed with an outcome", async () => {
    const p = await (await hall.sits({ language, hand })).signIn("li.wei", "/incidents");
    const group = [await happens("gate", "road"), await happens("gate", "road"), await happens("gate", "road")];
    const alone = [await happens("yard", "road"), await happens("hall", "road"), await happens("hall", "fence")];
    await shown(p, 6);
    await until("four rows", async () => (await list(p).count()) === 4);
    const bar = p.page.getByRole("toolbar", { name: p.say("select.actions") });
    const keys = p.page.keyboard;
    const says = (count: number) => bar.getByText(p.say("select.count", { count }), { exact: true }).waitFor();

    // The three rows at the top, then the group of three at the foot too: six incidents.
    if (hand === "keyboard") {
      await keys.press("Home");
      await keys.press("Space");
      await says(1);
      await keys.press("Shift+ArrowDown");
      await keys.press("Shift+ArrowDown");
      await says(3);
      await keys.press("Shift+ArrowDown");
      await says(6);
      await keys.press("Shift+ArrowUp");
      await says(3);
      await keys.press("ArrowDown");
      await keys.press("x");
    } else {
      await list(p).nth(0).hover();
      await list(p).nth(0).getByRole("checkbox").click();
      await says(1);
      await list(p).nth(2).locator(".title").click({ modifiers: ["Shift"] });
      await says(3);
      await list(p).nth(3).hover();
      await list(p).nth(3).getByRole("checkbox").click();
    }
    await says(6);
    expect(await list(p).getByRole("checkbox", { checked: true, includeHidden: true }).count()).toBe(4);

    await (hand === "keyboard" ? keys.press("a") : bar.getByRole("button", { name: p.say("incidents.do.acknowledge") }).click());
    await toast(p, p.say("several.acknowledged", { count: 6 }));
    for (const id of [...group, ...alone]) expect((await get(id)).state).toBe("acknowledged");
    await (hand === "keyboard" ? keys.press("u") : p.page.locator(".toasts li").getByRole("button", { name: p.say("ui.undo") }).first().click());
    await toast(p, p.say("several.undone", { count: 6 }));
    for (const id of [...group, ...alone]) expect((await get(id)).state).toBe("open");

    // One that the hub refuses is named, and the others are done.
    await p.page.route(`**/api/v1/incidents/${alone[0]}/acknowledge`, (r) => r.fulfill({ status: 503, contentType: "application/problem+json", body: JSON.stringify({ title: "Service Unavailable", status: 503 }) }));
    await (hand === "keyboard" ? keys.press("a") : bar.getByRole("button", { name: p.say("incidents.do.acknowledge") }).click());
    await toast(p, pattern(p.say("several.failed", { count: 1 })));
    expect(await p.page.locator(".toasts li").first().textContent()).toContain(p.say("several.acknowledged", { count: 5 }));
    await p.page.unroute(`**/api/v1/incidents/${alone[0]}/acknowledge`);

    // All of them, and closed with one key for what came of it.
    await keys.press("Escape");
    await bar.waitFor({ state: "hidden" });
    if (hand === "pointer") await p.page.mouse.move(1, 1);
    await keys.press("Control+a");
    await says(6);
    await (hand === "keyboard" ? keys.press("c") : bar.getByRole("button", { name: p.say("incidents.do.close") }).click());
    const dialog = p.page.getByRole("dialog", { name: p.say("close.title", { count: 6 }) });
    await dialog.waitFor();
    await (hand === "keyboard" ? keys.press("2") : dialog.locator('[data-outcome="false_alarm"]').click());
    await dialog.waitFor({ state: "hidden" });
    await toast(p, p.say("several.closed", { count: 6 }));
    for (const id of [...group, ...alone]) expect(await get(id)).toMatchObject({ state: "closed", outcome: "false_alarm" });
    if (hand === "pointer") await p.page.mouse.move(1, 1); // off the list, where rows stay that somebody points at
    await until("an empty list", async () => (await list(p).count()) === 0);
    await bar.waitFor({ state: "hidden" });
  });

  it("and one is closed with its outcome and a note, and reopened whenever somebody wants", async () => {
    const id = await happens("gate", "fence");
    const p = await (await hall.sits({ language, hand })).signIn("li.wei", `/incidents/${id}`);
    await p.page.locator("#close").waitFor();
    await (hand === "keyboard" ? p.page.keyboard.press("c") : p.press("#close"));
    const dialog = p.page.getByRole("dialog", { name: p.say("close.title", { count: 1 }) });
    await dialog.waitFor();
    await p.page.keyboard.press("Escape"); // nothing is closed by that
    await dialog.waitFor({ state: "hidden" });
    expect((await get(id)).state).toBe("open");
    await (hand === "keyboard" ? p.page.keyboard.press("c") : p.press("#close"));
    await p.write("#close-text", "patrol 3, section 12"); // in the field, digits are text
    expect((await get(id)).state).toBe("open");
    await p.press(dialog.locator('[data-outcome="handed_on"]'));
    await p.page.locator("#reopen").waitFor();
    const closed = await get(id);
    expect(closed).toMatchObject({ state: "closed", outcome: "handed_on" });
    expect(closed.timeline.at(-1)).toMatchObject({ kind: "closed", who: "li.wei", text: "patrol 3, section 12" });
    // Another console, which has not closed it, and has no message to undo.
    const other = await (await hall.sits({ language, hand })).signIn("anna", `/incidents/${id}`);
    await other.press("#reopen");
    await other.page.locator("#close").waitFor();
    const again = await get(id);
    expect(again.state).not.toBe("closed");
    expect(again.timeline.at(-1)).toMatchObject({ kind: "reopened", who: "anna" });
    await p.page.locator("#close").waitFor();
  });
});

describe.each(crossed)("%s, by %s: a rule", (language, hand) => {
  it("is muted for a time with a reason: quiet, out of the list, seen as muted everywhere, and ended", async () => {
    const [taken, first, other] = [await happens("gate", "road"), await happens("gate", "road"), await happens("yard", "road")];
    const p = await (await hall.sits({ language, hand })).signIn("li.wei", "/incidents");
    const anna = await (await hall.sits({ language, hand })).signIn("anna", "/incidents");
    await hall.stage.api(`/incidents/${taken}/acknowledge`, { method: "POST" });
    const keys = p.page.keyboard;
    const dialog = p.page.getByRole("dialog", { name: p.say("mute.title") });
    await shown(p, 3);
    if (hand === "keyboard") {
      await p.hand.take(p.row(first));
      await keys.press("m");
    } else {
      await p.page.getByRole("button", { name: p.say("incidents.noise") }).click();
      await p.page.locator("#noise tbody tr", { hasText: "gate" }).filter({ hasText: "road" }).getByRole("button", { name: pattern(p.say("mute.doOf")) }).click();
    }
    await dialog.waitFor();
    await keys.type("wind moves the tree"); // the field has the focus
    await keys.press("Enter");
    await dialog.waitFor({ state: "hidden" });
    await toast(p, pattern(p.say("mute.done")));
    if (hand === "pointer") {
      await p.page.locator("#noise").getByText("wind moves the tree").waitFor(); // what is muted now is in the same dialog
      await keys.press("Escape");
      await p.page.mouse.move(1, 1);
    }

    // In every console: what nobody has taken is out of the list, what somebody has in hand stays.
    for (const one of [p, anna]) {
      await one.row(first).waitFor({ state: "detached" });
      await one.row(taken).waitFor();
      await one.row(other).waitFor();
      expect(await one.page.textContent("#muted")).toContain(one.say("mute.count", { count: 1 }));
    }
    await anna.listen();
    const quiet = await happens("gate", "road", "extreme");
    const loud = await happens("hall", "road", "severe");
    await anna.row(loud).waitFor();
    await anna.hears(pattern(anna.say("alarm.one", { severity: anna.say("severity.severe") })));
    expect((await anna.said()).some((s) => s.includes(anna.say("severity.extreme")))).toBe(false);
    expect(await anna.row(quiet).count()).toBe(0);
    expect(await anna.page.title()).toMatch(/^\(2\)/);
    await until("both counted", async () => (await anna.page.textContent("#muted"))?.includes(anna.say("mute.count", { count: 2 })));
    expect((await get(quiet)).muted_until).toBeTruthy();
    expect((await get(loud)).muted_until).toBeUndefined();

    await anna.press("#muted");
    await until("the muted row", async () => (await ids(anna)).some((id) => id === quiet || id === first));
    await anna.page.locator("#incidents").getByTitle(pattern(anna.say("mute.rowUntil"))).first().waitFor();

    // Its page and its device say who, why and until when; anybody can end it.
    await anna.follow(`/devices/school/gate`);
    await anna.page.locator("main .mute", { hasText: "wind moves the tree" }).waitFor();
    await anna.follow(`/incidents/${first}`);
    const state = anna.page.locator("#incident-detail .mute");
    await state.waitFor();
    expect(await state.textContent()).toMatch(pattern(anna.say("mute.state", { who: "li.wei", reason: "wind moves the tree" })));
    anna.hand.anew();
    await anna.press(state.getByRole("button"));
    await state.waitFor({ state: "detached" });
    await shown(p, 5); // they are in the list again
    expect(await p.page.locator("#muted").count()).toBe(0);
    const { audit } = await hall.stage.api<{ audit: { action: string; who: string; object: string; detail?: string }[] }>("/audit?limit=20");
    expect(audit.find((e) => e.action === "rule muted")).toMatchObject({ who: "li.wei", object: "school/gate/road", detail: expect.stringContaining("wind moves the tree") as string });
    expect(audit.find((e) => e.action === "rule unmuted")).toMatchObject({ who: "anna", object: "school/gate/road" });
  });
});
