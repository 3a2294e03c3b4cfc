// Names for people: where a site, a device or a rule has one, no view shows its identifier, in either language; and
// what is typed in either language finds it.
import { describe, expect, it } from "vitest";
import type { Person } from "./support/people";
import { room } from "./support/room";
import { until } from "./support/stage";
import { languages } from "./support/words";

// Identifiers that no other text has.
const site = "zzsite";
const identifier = /zz(site|cam|door|smoke|rule)/i;
const place = { lat: 30.9, lon: 120.9, heading: 0, fov: 90, range: 80, height: 5 };
let loitering = "";

const hall = room({}, async (stage) => {
  await stage.user("boss", "administrator");
  await stage.edge({
    name: site, title: { en: "Old Town", zh: "古镇" },
    devices: [
      { name: "zzcam", title: { en: "bus station", zh: "汽车站" }, kind: "camera", place, rules: [
        { name: "zzrule-stay", title: { en: "loitering", zh: "逗留" }, kind: "zone", severity: "severe" },
        { name: "zzrule-road", title: { en: "road", zh: "道路" }, kind: "line", severity: "minor" },
        { name: "lost", kind: "silence", severity: "minor" },
      ] },
      { name: "zzdoor", title: { en: "pump room door", zh: "泵房门" }, kind: "sensor", unit: "1", class: "opening", place: { lat: 30.9001, lon: 120.9002 }, rules: [{ name: "left-open", kind: "above", value: 0.5, severity: "minor" }] },
      { name: "zzsmoke", title: { en: "smoke", zh: "烟雾" }, kind: "sensor", unit: "ppm", rules: [{ name: "too-much", kind: "above", value: 60, severity: "extreme" }] },
    ],
    readings: [
      { device: "zzdoor", time: new Date().toISOString(), value: 1, unit: "1", quality: "good" },
      { device: "zzsmoke", time: new Date().toISOString(), value: 146, unit: "ppm", quality: "good" },
    ],
    states: [{ device: "zzsmoke", state: "offline", cause: { code: "sensor_silent", params: { seconds: "90", every_seconds: "30" }, text: "no reading" }, since: new Date().toISOString() }],
    problems: [{ code: "detection_stopped", params: { device: "zzcam", cause: "x", cause_code: "worker_hung", cause_seconds: "30" }, text: "x" }],
  });
  loitering = await stage.tell(site, { device: "zzcam", rule: "zzrule-stay", kind: "zone", severity: "severe", class: "person" });
  await stage.tell(site, { device: "zzcam", rule: "zzrule-road", kind: "line", severity: "minor", class: "motion" });
  await stage.tell(site, { device: "zzcam", rule: "lost", kind: "silence", severity: "minor" });
  await stage.tell(site, { device: "zzdoor", rule: "left-open", kind: "above", severity: "minor", value: 1, limit: 0.5, unit: "1" });
  await stage.tell(site, { device: "zzsmoke", rule: "too-much", kind: "above", severity: "extreme", value: 146, limit: 60, unit: "ppm" });
});

const titles = {
  en: ["Loitering: bus station", "Road line crossed", "No data: bus station", "Pump room door open", "Smoke 146\u00a0ppm (limit 60)"],
  "zh-CN": ["汽车站逗留", "越线：道路", "汽车站无数据", "泵房门打开", "烟雾146\u00a0ppm（限值60）"],
};
const names = { en: { site: "Old Town", camera: "Bus station", door: "Pump room door" }, "zh-CN": { site: "古镇", camera: "汽车站", door: "泵房门" } };
const typed = ["bus station", "汽车站"];

/** What a person sees, or hears from a reader of screens, of the page. Identifiers that are shown as such are left out. */
function shown(p: Person): Promise<string> {
  return p.page.evaluate(() => {
    const parts: string[] = [];
    for (const e of document.querySelectorAll<HTMLElement>("body *")) {
      if (e.closest(".mono, code, script, style") || !e.checkVisibility()) continue;
      for (const name of ["aria-label", "title", "placeholder", "alt"]) if (e.hasAttribute(name)) parts.push(e.getAttribute(name)!);
      for (const n of e.childNodes) if (n.nodeType === Node.TEXT_NODE) parts.push(n.textContent ?? "");
    }
    return parts.join("\n");
  });
}

/** Waits until the page shows some texts, and expects no identifier on it. */
async function named(p: Person, ...wanted: string[]): Promise<void> {
  const all = await until(`a page with ${wanted.join(", ")}`, async () => {
    const text = await shown(p);
    return wanted.every((w) => text.includes(w)) && text;
  });
  expect(all.match(identifier)?.[0], all).toBeUndefined();
}

describe.each(languages)("%s", (language) => {
  const name = names[language];
  const sits = async (path: string) => (await hall.sits({ language })).signIn("boss", path);

  it("lists incidents by their names", async () => {
    const p = await sits("/incidents");
    await named(p, ...titles[language], name.site, name.camera, name.door);
    for (const text of typed) {
      await p.follow(`/incidents?q=${encodeURIComponent(text)}`);
      await until(`incidents found by ${text}`, async () => (await p.page.locator("#incidents .incident").count()) === 3);
    }
  });

  it("shows an incident by its names", async () => {
    const p = await sits(`/incidents/${loitering}`);
    await named(p, titles[language][0]!, name.site, name.camera);
    // The list of devices comes after the cameras near the place.
    let go = () => {};
    const held = new Promise<void>((done) => (go = done));
    await p.page.route(/\/api\/v1\/devices(\?|$)/, async (route) => {
      await held;
      await route.continue();
    });
    const answered = p.page.waitForResponse(/\/api\/v1\/nearby/);
    await p.page.reload();
    await answered;
    await named(p, titles[language][0]!, name.site, name.camera, p.say("incident.nearby"));
    go();
    await until("the cameras near the place", async () => (await p.page.locator("#nearby .camera").count()) === 1);
    await named(p, titles[language][0]!, name.site, name.camera);
  });

  it("shows devices by their names, and what their values mean", async () => {
    const p = await sits("/devices");
    await named(p, name.site, name.camera, name.door, p.say("value.opening.on"));
    for (const text of typed) {
      await p.page.locator('input[type="search"]').fill(text);
      await until(`devices found by ${text}`, async () => (await p.page.locator("li.device").count()) === 1);
    }
    await p.follow(`/devices/${site}/zzdoor`);
    await named(p, name.door, name.site, titles[language][3]!);
  });

  it("shows map, wall and palette by names", async () => {
    const p = await sits("/map?at=30.90000,120.90000,16");
    await named(p, name.camera.toLocaleLowerCase().slice(1));
    await p.follow("/wall");
    await p.press(p.page.getByRole("button", { name: p.say("video.wall.choose") }));
    await named(p, name.camera, name.site);
    await p.page.keyboard.press("Escape");
    await p.page.keyboard.press("Control+k");
    for (const text of typed) {
      await p.page.locator("#palette input").fill(text);
      await until(`${text} in the palette`, async () => (await p.page.locator("#palette [role=option]", { hasText: name.camera }).count()) > 0);
      await named(p);
    }
  });
});
