// The map: what stands on it, choosing on it and in its list, asking which cameras see a place, by
// pointer and by keys, and what is left when it cannot be drawn.
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Look, Person } from "./support/people";
import { accented, colourAt, onScreen, resembles } from "./support/pixels";
import { room } from "./support/room";
import { type Place, square, until } from "./support/stage";
import { languages, pattern } from "./support/words";

// Outside the town, where there is nothing but land.
const lookout: Place = { lat: 30.9, lon: 120.9, heading: 0, fov: 90, range: 80, height: 5 };
const pair: Place[] = [{ lat: 30.895, lon: 120.915 }, { lat: 30.895, lon: 120.9158 }];
const middle = square["river"]!;

let told = "";
const hall = room({ town: true }, async (stage) => {
  await stage.user("li.wei", "dispatcher");
  await stage.site({ name: "liuxi", cameras: { market: [], bridge: [], school: [], station: [] }, sensors: { river: [] }, places: square });
  await stage.edge({
    name: "field",
    devices: [
      { name: "lookout", kind: "camera", place: lookout, rules: [{ name: "meadow", kind: "zone", severity: "extreme" }] },
      { name: "left-one", kind: "camera", place: pair[0]! },
      { name: "right-one", kind: "camera", place: pair[1]! },
    ],
  });
  told = await stage.tell("field", { device: "lookout", rule: "meadow", kind: "zone", severity: "extreme", class: "person" });
});

const view = (p: Place, zoom: number) => `at=${p.lat.toFixed(5)},${p.lon.toFixed(5)},${zoom}`;
const query = (p: Person) => new URL(p.page.url()).searchParams;
const at = (p: Person) => query(p).get("at")!.split(",").map(Number) as [number, number, number];
const drawn = (p: Person) => p.page.waitForSelector('[data-drawn="true"]');

/** Somebody before the map. */
async function before(path: string, look: Look): Promise<Person> {
  const p = await (await hall.sits(look)).signIn("li.wei", path);
  await drawn(p);
  return p;
}

/** Points at a place until its tip says something, dy px below it. */
async function tip(p: Person, place: Place, words: string | RegExp, dy = 0): Promise<string> {
  let n = 0;
  return until(`a tip that says ${words}`, async () => {
    const { x, y } = await onScreen(p, place);
    await p.page.mouse.move(x + (n++ % 2), y + dy);
    const text = (await p.page.locator(".tip").textContent({ timeout: 300 }).catch(() => "")) ?? "";
    return (typeof words === "string" ? text.includes(words) : words.test(text)) && text;
  });
}

const rows = (p: Person) => p.page.locator("aside button.row");
const chosen = (p: Person) => p.page.locator('aside button.row[aria-current="true"]');
const device = (name: string, edge = "field") => `device/${edge}/${name}`;

describe.each(languages)("%s", (language) => {
  it("shows devices, incidents and fields of view, and lists what is in sight", async () => {
    const p = await before(`/map?${view(lookout, 17.5)}`, { language });
    expect(await tip(p, lookout, "lookout")).toContain(p.say("devicekind.camera"));
    expect(await tip(p, lookout, p.say("severity.extreme"), -31)).toContain(p.say("state.open"));
    // The camera looks north: the ground before it is tinted, that behind it is bare.
    const place = await onScreen(p, lookout);
    await p.page.mouse.move(1, 1);
    const [front, back, aside] = await Promise.all([-90, 90].map((dy) => colourAt(p, { x: place.x + 24, y: place.y + dy })).concat(colourAt(p, { x: place.x + 160, y: place.y })));
    expect(front).not.toEqual(back);
    expect(back).toEqual(aside);
    expect(await rows(p).count()).toBe(1);
    expect(await rows(p).textContent()).toContain("lookout");
    await p.page.locator("aside label", { hasText: p.say("map.tabDevices", { count: 1 }) }).click();
    await p.page.locator(`aside [data-key="${device("lookout")}"]`).waitFor();
  });

  it("chooses on the map and in the list, each seen in the other", async () => {
    const p = await before(`/map?${view(lookout, 17.5)}`, { language });
    await tip(p, lookout, "lookout");
    const bare = await accented(p, await onScreen(p, lookout));
    const { x, y } = await onScreen(p, lookout);
    await p.page.mouse.click(x, y);
    await until("it chosen in the list", async () => (await chosen(p).getAttribute("data-key")) === device("lookout"));
    expect(query(p).get("select")).toBe(device("lookout"));
    await p.page.getByRole("heading", { name: "lookout" }).waitFor();
    await until("its ring", async () => (await accented(p, await onScreen(p, lookout))) > bare + 60);
    await p.page.mouse.click(x, y - 31);
    await until("the incident instead", async () => (await chosen(p).getAttribute("data-key")) === `incident/${told}`);
    await p.page.locator(".card h2", { hasText: pattern(p.say("title.zone")) }).waitFor();

    // From the list: something out of sight, found by its name. The map goes there and marks it.
    await p.page.locator("aside label", { hasText: pattern(p.say("map.tabDevices")) }).click();
    await p.page.locator("aside input[type=search]").fill("market");
    await p.page.locator(`aside [data-key="${device("market", "liuxi")}"]`).click();
    const market = square["market"]!;
    await until("the map to be there", async () => Math.hypot(at(p)[0] - market.lat, at(p)[1] - market.lon) < 0.002 && at(p)[2] >= 17);
    await until("its ring", async () => (await accented(p, await onScreen(p, market))) > 60);
  });

  it("asks which cameras see a place, at a right click, and lists the hub's ranking with its reasons", async () => {
    const p = await before(`/map?${view(middle, 17.5)}`, { language });
    await p.listen();
    const { x, y } = await onScreen(p, { lat: middle.lat, lon: middle.lon + 0.0001 });
    await p.page.mouse.click(x, y, { button: "right" });
    await p.page.getByRole("heading", { name: p.say("map.sees", { count: 4 }) }).waitFor();
    const [lat, lon] = query(p).get("ask")!.split(",").map(Number) as [number, number];
    expect(Math.hypot(lat - middle.lat, lon - middle.lon - 0.0001)).toBeLessThan(0.00002);
    const { nearby } = await hall.stage.api<{ nearby: { device: string; sight: string }[] }>(`/nearby?lat=${lat}&lon=${lon}&limit=20`);
    const listed = p.page.locator(".card ol button");
    expect((await listed.locator(".name").allTextContents()).map((n) => n.trim().replaceAll(" ", "-"))).toEqual(nearby.slice(0, 8).map((r) => r.device));
    for (const [n, why] of (await listed.locator(".why").allTextContents()).entries()) expect(why).toMatch(pattern(p.say(`sight.${nearby[n]!.sight}`)));
    await p.hears(p.say("map.sees", { count: 4 }));
    await until("the pin", async () => (await accented(p, { x, y: y - 20 })) > 100);
    // Where nobody looks, it says so.
    await p.follow(`/map?${view({ lat: 30.905, lon: 120.91 }, 17)}`);
    await p.page.getByText(p.say("map.noneInSight"), { exact: true }).waitFor();
    const empty = await onScreen(p, { lat: 30.905, lon: 120.91 });
    await p.page.mouse.click(empty.x, empty.y, { button: "right" });
    await p.page.getByRole("heading", { name: p.say("map.seesNone") }).waitFor();
    await p.page.goBack();
    await until("no question", async () => query(p).get("ask") === null);
  });

  it("does all of that by keyboard", async () => {
    const p = await before(`/map?${view(middle, 17.5)}`, { language });
    const keys = p.page.keyboard;
    const focused = (what: string) => p.page.evaluate((s) => document.activeElement?.matches(s) ?? false, what);
    for (let n = 0; n < 30 && !(await focused("canvas")); n += 1) await keys.press("Tab");
    expect(await focused("canvas")).toBe(true);
    expect(await p.page.locator(".maplibregl-canvas").getAttribute("aria-label")).toBe(p.say("map.label"));
    const [, west] = at(p);
    await keys.press("ArrowRight");
    await until("the map moved", async () => at(p)[1] > west + 0.0002);
    await keys.press("Shift+F10");
    await until("the question about its middle", async () => query(p).get("ask"));
    const near = (text: string | null, to: readonly number[]) => { const [a, b] = (text ?? "").split(",").map(Number); return Math.hypot(a! - to[0]!, b! - to[1]!) < 0.00003; };
    expect(near(query(p).get("ask"), at(p))).toBe(true);
    await p.page.locator(".card ol button").first().waitFor();
    await keys.press("Escape");
    await until("the question closed", async () => query(p).get("ask") === null);

    // The list by its keys: the first of what is in sight, and what sees it.
    await keys.press("i");
    expect(await focused("input[type=search]")).toBe(true);
    await keys.type("school");
    await keys.press("Tab");
    await keys.press("ArrowRight"); // the other half of the list: devices
    await p.page.locator(`aside [data-key="${device("school", "liuxi")}"]`).waitFor();
    await keys.press("Tab");
    expect(await focused(`[data-key="${device("school", "liuxi")}"]`)).toBe(true);
    await keys.press("Enter");
    await until("it chosen", async () => query(p).get("select") === device("school", "liuxi"));
    await keys.press("w");
    await until("the question about it", async () => near(query(p).get("ask"), [square["school"]!.lat, square["school"]!.lon]));
    await keys.press("Shift+W");
    await until("the question about the middle", async () => query(p).get("ask") !== null && !near(query(p).get("ask"), [square["school"]!.lat, square["school"]!.lon]));
    await keys.press("?");
    const sheet = p.page.getByRole("dialog");
    for (const key of ["map.ask", "map.askMiddle", "map.next", "map.find"]) await sheet.getByText(p.say(key), { exact: true }).waitFor();
  });

  it("follows an address, and the browser's back", async () => {
    const p = await before(`/map?${view(middle, 16.5)}&select=${device("bridge", "liuxi")}`, { language });
    await p.page.getByRole("heading", { name: "bridge" }).waitFor();
    await until("it chosen in the list", async () => (await chosen(p).getAttribute("data-key")) === device("bridge", "liuxi"));
    expect(at(p)).toEqual([middle.lat, middle.lon, 16.5].map((v) => Number(v.toFixed(5)))); // it stays where the address says
    await p.follow(`/map?${view(lookout, 18)}`);
    await until("the map there", async () => (await rows(p).allTextContents()).join().includes("lookout"));
    await p.follow("/devices");
    await p.page.waitForFunction(() => location.pathname === "/devices");
    await p.page.goBack();
    await p.page.waitForFunction(() => location.pathname === "/map");
    await drawn(p);
    expect(at(p)).toEqual([lookout.lat, lookout.lon, 18]);
    await tip(p, lookout, "lookout");
    await p.page.goBack();
    await until("the first address", async () => query(p).get("select") === device("bridge", "liuxi"));
    await p.page.getByRole("heading", { name: "bridge" }).waitFor();
    await tip(p, square["bridge"]!, "bridge"); // itself, also while the others are in a cluster
  });

  it("opens a cluster that is clicked", async () => {
    const centre = { lat: pair[0]!.lat, lon: (pair[0]!.lon + pair[1]!.lon) / 2 };
    const p = await before(`/map?${view(centre, 14)}`, { language });
    expect(await tip(p, centre, p.say("map.devices", { count: 2 }))).toContain(p.say("map.clusterHint"));
    const { x, y } = await onScreen(p, centre);
    await p.page.mouse.click(x, y);
    await until("the map nearer", async () => at(p)[2] > 15);
    await tip(p, pair[0]!, "left one");
    await tip(p, pair[1]!, "right one");
  });

  it("says so when a layer's file is broken, and draws the rest", async () => {
    const file = join(hall.stage.folder, "hub", "map", "broken.geojson");
    await writeFile(file, '{"type": "FeatureCollection", "features": [');
    try {
      const p = await before(`/map?${view(lookout, 17.5)}`, { language });
      await p.page.locator("[role=status]", { hasText: p.say("map.badFile", { name: "broken.geojson" }) }).waitFor();
      await tip(p, lookout, "lookout");
    } finally {
      await rm(file);
    }
  });

  it("is a list that can be used where the browser gives no WebGL", async () => {
    const p = await hall.sits({ language });
    await p.page.addInitScript(() => {
      const get = HTMLCanvasElement.prototype.getContext as (this: HTMLCanvasElement, kind: string, ...more: unknown[]) => RenderingContext | null;
      HTMLCanvasElement.prototype.getContext = function (this: HTMLCanvasElement, kind: string, ...more: unknown[]) { return kind.startsWith("webgl") ? null : get.call(this, kind, ...more); } as typeof HTMLCanvasElement.prototype.getContext;
    });
    await p.signIn("li.wei", "/map");
    await p.page.getByText(p.say("map.failed"), { exact: true }).waitFor();
    await p.page.getByText(p.say("map.failedText"), { exact: true }).waitFor();
    await p.page.locator(`aside [data-key="incident/${told}"]`).click();
    await p.page.locator(".card").waitFor();
    await p.page.keyboard.press("w");
    await p.page.locator(".card ol button").first().waitFor();
    await p.page.locator("aside label", { hasText: pattern(p.say("map.tabDevices")) }).click();
    await until("all devices", async () => (await rows(p).count()) >= 8);
  });

  it("takes a report's place by click, by search and by keys", async () => {
    const p = await before("/report", { language });
    const place = () => p.page.evaluate(() => /-?\d+\.\d+° N, -?\d+\.\d+° E/.exec(document.querySelector(".where .hint")?.textContent ?? "")?.[0] ?? "");
    const pinned = () => accented(p, pin, 40);
    const map = (await p.page.locator(".maplibregl-canvas").boundingBox())!;
    let pin = { x: map.x + map.width * 0.4, y: map.y + map.height * 0.4 };
    await p.page.mouse.click(pin.x, pin.y);
    const clicked = await until("the place of the click", place);
    await until("the pin", async () => (await pinned()) > 150);

    for (const [typed, found] of [[language === "en" ? "Market Street" : "市场路", language === "en" ? "Market Street" : "市场路"], ["station", "station"]] as const) {
      const was = await place();
      await p.page.fill("#report-where", "");
      await p.page.locator("#report-where").pressSequentially(typed);
      await p.page.getByRole("option").first().waitFor();
      await p.page.keyboard.press("Enter");
      expect(await p.page.inputValue("#report-where")).toBe(found);
      await until("another place", async () => (await place()) !== was);
      expect(await p.page.evaluate(() => document.activeElement?.getAttribute("name"))).toBe("severity"); // on to the next field
      pin = { x: map.x + map.width / 2, y: map.y + map.height / 2 };
      await until("the pin in the middle", async () => (await pinned()) > 150);
    }
    const searched = await place();
    expect(searched).not.toBe(clicked);

    for (let n = 0; n < 20 && !(await p.page.evaluate(() => document.activeElement?.matches("canvas"))); n += 1) await p.page.keyboard.press("Tab");
    await p.page.keyboard.press("ArrowDown");
    await until("a place by keys", async () => { await p.page.keyboard.press("Enter"); return (await place()) !== searched; });
  });
});

it("draws Chinese names in the console's own font", async () => {
  const fonts: string[] = [];
  const p = await hall.sits({ language: "zh-CN" });
  p.page.on("response", (r) => { if (r.ok() && r.url().endsWith(".woff2")) fonts.push(r.url()); });
  const town = { lat: 30.922456, lon: 120.930814 }; // 北塔
  await p.signIn("li.wei", `/map?${view(town, 16)}`);
  await drawn(p);
  const others = ["国", "龙", "南", "□"];
  const like = await until("the two characters", async () => {
    const seen = await resembles(p, await onScreen(p, town), ["北", "塔", ...others], [16]);
    return Math.min(seen["北"]!, seen["塔"]!) > 0.7 && seen;
  });
  for (const other of others) expect(like[other], `${other} ${JSON.stringify(like)}`).toBeLessThan(Math.min(like["北"]!, like["塔"]!));
  expect(fonts.filter((f) => f.includes("/noto-sans-sc-")).length).toBeGreaterThan(0);
});
