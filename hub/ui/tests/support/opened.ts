// What stands before a view when it was opened by hand: dialogs, menus, messages. Each opens on a view that
// is there, and is closed again by Escape.
import type { Person } from "./people";
import type { Scene } from "./scene";
import { settle } from "./settle";

export interface Opened {
  name: string;
  path: (scene: Scene) => string;
  open: (p: Person) => Promise<void>;
  close?: (p: Person) => Promise<void>; // puts back what else has changed
}

const button = (p: Person, key: string) => p.page.locator("main").getByRole("button", { name: p.say(key) });
const dialog = (p: Person) => p.page.getByRole("dialog");
const list = () => "/incidents?state=all";

/** Presses the button with these words in the row of a table that holds this text. */
const inRow = async (p: Person, text: string, key: string) => {
  await p.page.locator("main tr", { hasText: text }).getByRole("button", { name: p.say(key) }).click();
  await dialog(p).waitFor();
};

/** The first of the list is chosen, and a key is pressed. */
const onFirst = (key: string, then: (p: Person) => Promise<unknown>) => async (p: Person) => {
  await p.page.keyboard.press("Home");
  await p.page.locator("#incidents .selected").waitFor();
  await p.page.keyboard.press(key);
  await then(p);
};

export const opened: Opened[] = [
  { name: "menu", path: list, open: (p) => p.page.click("#user") },
  { name: "sound", path: list, open: (p) => p.page.click("#sound") },
  { name: "password", path: list, open: async (p) => { await p.page.click("#user"); await p.page.click('[data-id="password"]'); await dialog(p).waitFor(); } },
  { name: "palette", path: list, open: (p) => p.page.keyboard.press("Control+k") },
  { name: "keys", path: list, open: (p) => p.page.keyboard.press("?") },
  { name: "note", path: list, open: onFirst("n", (p) => dialog(p).waitFor()) },
  { name: "close", path: list, open: onFirst("c", (p) => dialog(p).waitFor()) },
  { name: "mute", path: list, open: onFirst("m", (p) => dialog(p).waitFor()) },
  { name: "selected", path: list, open: onFirst("x", (p) => p.page.getByRole("toolbar", { name: p.say("select.actions") }).waitFor()) },
  { name: "noise", path: list, open: async (p) => { await button(p, "incidents.noise").click(); await p.page.locator("#noise td").first().waitFor(); } },
  { name: "undo", path: list, open: onFirst("s", (p) => p.page.locator(".toasts li").first().waitFor()), close: async (p) => { await p.page.keyboard.press("u"); await p.page.locator(".toasts li", { hasText: p.say("incidents.do.undo") }).waitFor({ state: "hidden" }); } },
  { name: "picker", path: () => "/wall", open: async (p) => { await p.page.keyboard.press("c"); await dialog(p).waitFor(); } },
  { name: "user", path: (s) => s.views["users"]!, open: (p) => inRow(p, "li.wei", "admin.edit") },
  { name: "user-new", path: (s) => s.views["users"]!, open: (p) => button(p, "admin.users.add").click() },
  { name: "token-new", path: (s) => s.views["tokens"]!, open: (p) => button(p, "admin.tokens.add").click() },
  { name: "edge-new", path: (s) => s.views["edges"]!, open: (p) => button(p, "admin.edges.add").click() },
  { name: "edge-token", path: (s) => s.views["edges"]!, open: async (p) => {
    await inRow(p, "new-warehouse", "admin.edges.newToken");
    await dialog(p).getByRole("button", { name: p.say("admin.edges.makeToken") }).click();
    await dialog(p).locator("svg[role=img]").waitFor();
  } },
  { name: "edge-revoke", path: (s) => s.views["edges"]!, open: (p) => inRow(p, "waterworks", "admin.revoke") },
  { name: "webhook-new", path: (s) => s.views["webhooks"]!, open: (p) => button(p, "admin.hooks.add").click() },
  { name: "deliveries", path: (s) => s.views["webhooks"]!, open: async (p) => { await button(p, "admin.hooks.log").first().click(); await p.page.locator("main tbody tr").first().waitFor(); } },
];

/** Opens one after the other, or those that are named; look is called while it is open. */
export async function openEach(p: Person, scene: Scene, look: (name: string) => Promise<void>, names?: readonly string[]): Promise<void> {
  for (const o of opened) {
    if (names && !names.includes(o.name)) continue;
    await p.follow("/welcome"); // so that a view is as new when it is come to
    await p.follow(o.path(scene));
    await settle(p.page, p.say);
    await o.open(p);
    await settle(p.page, p.say);
    await look(o.name);
    await (o.close?.(p) ?? p.page.keyboard.press("Escape"));
  }
}
