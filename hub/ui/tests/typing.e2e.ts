// Everything that can be typed arrives in every field of the console: each printable ASCII character by its key, and
// Chinese by an input method. No command takes a key that types.
import type { CDPSession, Locator } from "playwright-core";
import { describe, expect, it } from "vitest";
import { nameFrom } from "../src/views/admin/edge";
import { openEach } from "./support/opened";
import type { Person } from "./support/people";
import { room } from "./support/room";
import type { Scene } from "./support/scene";
import { settle } from "./support/settle";
import { square } from "./support/stage";

const ascii = Array.from({ length: 95 }, (_, n) => String.fromCharCode(32 + n)).join("");
const fields = "input:is([type=text], [type=search], [type=password], [type=url], [type=email], [type=tel], [type=number], :not([type])):not([readonly], [hidden], [disabled]), textarea:not([readonly], [disabled]), [contenteditable=true]";

let scene: Scene;
const hall = room({ town: true }, async (stage) => {
  for (const [name, role] of [["boss", "administrator"], ["li.wei", "dispatcher"]] as const) await stage.user(name, role);
  await stage.edge({ name: "waterworks", devices: [
    { name: "gate", kind: "camera", place: square["market"]!, rules: [{ name: "yard", kind: "zone", severity: "severe" }] },
    { name: "river", kind: "sensor", unit: "m", place: square["river"]!, rules: [{ name: "flood", kind: "above", severity: "severe", value: 2 }] },
  ] });
  const level = await stage.tell("waterworks", { device: "river", rule: "flood", kind: "above", severity: "severe", value: 2.4, limit: 2, unit: "m" });
  const picture = await stage.tell("waterworks", { device: "gate", rule: "yard", kind: "zone", severity: "severe", class: "person" });
  await stage.api("/webhooks", { body: { url: "https://receiver.invalid/alerts" } });
  await stage.api("/edges", { body: { name: "new-warehouse" } });
  scene = {
    picture, level, report: level,
    views: {
      incidents: "/incidents", incident: `/incidents/${level}`, map: "/map", wall: "/wall?n=4&cams=waterworks/gate", devices: "/devices", camera: "/devices/waterworks/gate", report: "/report",
      users: "/admin/users", tokens: "/admin/tokens", edges: "/admin/edges", webhooks: "/admin/webhooks", views: "/admin/views", audit: "/admin/audit",
    },
  };
});

/** What a field keeps of what is typed: all of it, but for the name of an edge, which is made of letters, digits and hyphens. */
const kept = (name: string, text: string) => (name.startsWith("edge-new:") ? [...text].reduce((s, c) => nameFrom(s + c), "") : text);
const valueOf = (field: Locator) => field.evaluate((e) => ("value" in e ? String(e.value) : (e.textContent ?? "")));

/** Types into one field by keys and by an input method, and says what went wrong. */
async function tryField(p: Person, devtools: CDPSession, field: Locator, name: string): Promise<string[]> {
  const wrong: string[] = [];
  const clear = () => field.evaluate((e) => {
    (e as HTMLInputElement).value = "";
    e.dispatchEvent(new Event("input", { bubbles: true }));
    (e as HTMLElement).focus();
  });
  const at = p.page.url().split("?")[0];
  // As many at once as the shortest field holds, so that a limit hides no character.
  const room = await field.evaluate((e) => ((e as HTMLInputElement).maxLength > 0 ? (e as HTMLInputElement).maxLength : 200));
  for (let n = 0; n < ascii.length; n += room) {
    const part = ascii.slice(n, n + room);
    await clear();
    for (const c of part) await p.page.keyboard.press(c === " " ? "Space" : c);
    const value = await valueOf(field);
    if (value !== kept(name, part)) wrong.push(`${name}: typed ${JSON.stringify(part)}, there is ${JSON.stringify(value)}`);
  }
  await clear();
  // An input method: its keys arrive as 229, the text in between as a composition, the choice as text.
  for (const [spelled, chosen] of [["ni", "你"], ["ni hao", "好"], ["/", "、"]] as const) {
    for (let n = 1; n <= spelled.length; n += 1) {
      await devtools.send("Input.dispatchKeyEvent", { type: "rawKeyDown", key: "Process", windowsVirtualKeyCode: 229 });
      await devtools.send("Input.imeSetComposition", { text: spelled.slice(0, n), selectionStart: n, selectionEnd: n });
      await devtools.send("Input.dispatchKeyEvent", { type: "keyUp", key: spelled[n - 1]!, windowsVirtualKeyCode: 229 });
    }
    // Some browsers name the key while a text is composed. The Enter that chooses must not send, close or leave anything.
    for (const key of ["Enter", "Escape", "ArrowDown", "/", "a", "g"]) {
      await field.evaluate((e, key) => e.dispatchEvent(new KeyboardEvent("keydown", { key, keyCode: 229, isComposing: true, bubbles: true, cancelable: true })), key);
    }
    await devtools.send("Input.insertText", { text: chosen });
  }
  const value = await valueOf(field);
  const wanted = kept(name, "你好、".slice(0, room));
  if (value !== wanted) wrong.push(`${name}: composed ${wanted}, there is ${JSON.stringify(value)}`);
  if (!(await field.evaluate((e) => e === document.activeElement))) wrong.push(`${name}: the focus has left it`);
  if (p.page.url().split("?")[0] !== at) wrong.push(`${name}: the view has changed to ${p.page.url()}`);
  await clear();
  return wrong;
}

/** Tries every field that is there, of an open dialog those in it. */
async function tryAll(p: Person, devtools: CDPSession, view: string, seen: Set<string>): Promise<string[]> {
  const dialog = p.page.locator("dialog[open]");
  const scope = (await dialog.count()) > 0 ? dialog.last() : p.page.locator("#main, main").first();
  const wrong: string[] = [];
  const n = await scope.locator(fields).count();
  for (let k = 0; k < n; k += 1) {
    const field = scope.locator(fields).nth(k);
    if (!(await field.isVisible())) continue;
    const what = await field.evaluate((e) => `${e.tagName.toLowerCase()}[${e.getAttribute("type") ?? ""}] ${(e as HTMLInputElement).labels?.[0]?.textContent?.trim() || e.getAttribute("aria-label") || e.id}`);
    seen.add(`${view}: ${what}`);
    wrong.push(...(await tryField(p, devtools, field, `${view}: ${what}`)));
  }
  return wrong;
}

const dialogs = ["password", "palette", "note", "picker", "user-new", "token-new", "edge-new", "webhook-new"];

describe("every field", () => {
  it("takes every printable character and Chinese", { timeout: 600_000 }, async () => {
    const p = await hall.sits({ language: "zh-CN", size: { width: 1920, height: 1080 } });
    const devtools = await p.context.newCDPSession(p.page);
    const seen = new Set<string>();
    const wrong: string[] = [];
    await p.go("/");
    await p.page.waitForSelector("#login-user");
    wrong.push(...(await tryAll(p, devtools, "login", seen)));
    await p.signIn("boss", "/welcome");
    for (const [view, path] of Object.entries(scene.views)) {
      await p.follow("/welcome");
      await p.follow(path);
      await settle(p.page, p.say);
      wrong.push(...(await tryAll(p, devtools, view, seen)));
    }
    await openEach(p, scene, async (name) => void wrong.push(...(await tryAll(p, devtools, name, seen))), dialogs);
    expect(wrong).toEqual([]);
    console.log(JSON.stringify({ figure: "fields_typed_into", fields: seen.size }));
    // Every view and dialog that has fields had them: a new one that is not reached is noticed here by its absence.
    expect(new Set([...seen].map((s) => s.split(":")[0]))).toEqual(new Set(["login", "incidents", "incident", "map", "wall", "devices", "camera", "report", "views", "audit", ...dialogs]));
  });
});
