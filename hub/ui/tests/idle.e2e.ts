// Views that nobody touches: how much they ask the hub, while it answers and while it is away, with a thousand
// incidents on one device. A loop of requests makes hundreds in a second, so a quarter of a minute shows it; the
// limits are far above what the slow refreshing of a view needs, and far below any loop.
import { describe, expect, it } from "vitest";
import type { Person } from "./support/people";
import { room } from "./support/room";
import { square, until } from "./support/stage";
import { settle } from "./support/settle";

const watched = 15_000; // ms
const most = 40; // requests in that time, with the views' own refreshing (5 s at the most often)
const away = 8_000; // ms
const mostAway = 60; // the link looks for the hub up to four times a second at first, then every 3 s
const closed = 520; // of the thousand incidents
const atOnce = 7; // pages at the same time: two cores draw them

const hall = room({ town: true }, async (stage) => {
  await stage.user("boss", "administrator");
  await stage.crowd({ edges: 1, devices: 1, incidents: 1000, open: 400 });
  // More than a page of them are closed at the desk.
  const ids: string[] = [];
  for (let next: string | null = ""; next !== null && ids.length < closed;) {
    const page: { incidents: { id: string }[]; next: string | null } = await stage.api(`/incidents?limit=500&next=${next}`);
    ids.push(...page.incidents.map((i) => i.id));
    next = page.next;
  }
  ids.length = closed;
  for (let n = 0; n < closed; n += 8) await Promise.all(ids.slice(n, n + 8).map((id) => stage.api(`/incidents/${id}/close`, { body: {} })));
  await stage.edge({ name: "gate", devices: [{ name: "yard", kind: "camera", place: square["market"]! }, { name: "level", kind: "sensor", unit: "m" }] });
  await stage.api("/webhooks", { body: { url: "https://receiver.invalid/alerts" } });
});

async function views(): Promise<Record<string, string>> {
  const { incidents } = await hall.stage.api<{ incidents: { id: string }[] }>("/incidents?limit=1");
  return {
    incidents: "/incidents", all: "/incidents?state=all", closed: "/incidents?state=closed", none: "/incidents?state=all&q=nothing+is+called+so", incident: `/incidents/${incidents[0]!.id}`,
    device: "/devices/crowd-1/level-0", camera: "/devices/gate/yard", quiet: "/devices/gate/level", devices: "/devices",
    map: "/map", asked: `/map?ask=${square["river"]!.lat},${square["river"]!.lon}`, chosen: `/map?select=incident/${incidents[0]!.id}`,
    wall: "/wall?n=4&cams=gate/yard", report: `/report?at=${square["river"]!.lat},${square["river"]!.lon}`,
    users: "/admin/users", tokens: "/admin/tokens", edges: "/admin/edges", webhooks: "/admin/webhooks", views: "/admin/views", audit: "/admin/audit", welcome: "/welcome",
  };
}

interface Counted { view: string; answered: number; away: number; busiest: string }

/** Opens views side by side and counts their requests; then the hub goes away, and they are counted again. */
async function count(some: [string, string][]): Promise<Counted[]> {
  const people: Person[] = [];
  const asked = some.map(() => [] as string[]);
  for (const [n, [, path]] of some.entries()) {
    const p = await (await hall.sits()).signIn("boss", path);
    await settle(p.page, p.say);
    p.context.on("request", (r) => asked[n]!.push(new URL(r.url()).pathname));
    people.push(p);
  }
  const during = async (ms: number) => {
    for (const a of asked) a.length = 0;
    await people[0]!.page.waitForTimeout(ms);
    return asked.map((a) => [...a]);
  };
  const answered = await during(watched);
  await hall.stage.stopHub();
  const gone = await during(away);
  await hall.stage.startHub();
  for (const p of people) await p.live(60_000);
  const again = await during(2000); // everything is fetched anew, once
  for (const p of people) await p.leaves();
  return some.map(([view], n) => ({ view, answered: answered[n]!.length, away: gone[n]!.length + again[n]!.length, busiest: busiest([...answered[n]!, ...gone[n]!]) }));
}

function busiest(paths: string[]): string {
  const counts = new Map<string, number>();
  for (const p of paths) counts.set(p, (counts.get(p) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).slice(0, 2).map(([p, n]) => `${n} ${p}`).join(", ");
}

describe("an idle view", () => {
  it("asks little, and no more when the hub is away", { timeout: 600_000 }, async () => {
    const all = Object.entries(await views());
    const counted: Counted[] = [];
    for (let n = 0; n < all.length; n += atOnce) counted.push(...(await count(all.slice(n, n + atOnce))));
    console.log(JSON.stringify({ figure: "requests_of_idle_views", seconds: watched / 1000, views: Object.fromEntries(counted.map((c) => [c.view, [c.answered, c.away]])) }));
    expect(counted.length).toBe(all.length);
    expect(counted.filter((c) => c.answered > most || c.away > mostAway)).toEqual([]);
    expect(counted.every((c) => c.away > 0), "requests are counted").toBe(true);
  });

  it("fetches older closed incidents once for each page, and not again when the hub is away", { timeout: 120_000 }, async () => {
    const p = await hall.sits();
    const pages: string[] = [];
    p.context.on("request", (r) => { if (r.url().includes("state=closed") && r.url().includes("/api/v1/")) pages.push(r.url()); });
    await p.signIn("boss", "/incidents?state=closed&apart=1"); // each in a row of its own
    await settle(p.page, p.say);
    await until("the last of them", async () => {
      await p.page.evaluate(() => { const box = document.querySelector("#incidents")!.parentElement!; box.scrollTop = box.scrollHeight; });
      return Number((await p.page.textContent("header .note"))!.replace(/\D/g, "")) >= closed;
    }, 60_000);
    expect(new Set(pages).size).toBe(pages.length);
    expect(pages.length).toBe(Math.ceil(closed / 100)); // as many as a page has
  });
});
