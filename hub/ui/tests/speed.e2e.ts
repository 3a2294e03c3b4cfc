// Ten thousand incidents and two thousand devices. The figures are printed; what decides is what does
// not depend on how busy the machine is: how much is drawn and fetched, and that work does not grow with
// what the hub knows. The issue asks for 1.5 s to the first useful paint and 200 ms from the hub's event
// to the screen.
import { beforeAll, describe, expect, it } from "vitest";
import type { Person } from "./support/people";
import { room } from "./support/room";
import { until } from "./support/stage";
import { type Held, held } from "./support/tasks";

const crowd = room({ town: true }, async (stage) => {
  await stage.user("li.wei", "dispatcher");
});
const gate = { name: "gate", devices: [{ name: "yard", kind: "camera" as const, place: { lat: 30.92, lon: 120.93 }, rules: [{ name: "yard", kind: "zone", severity: "extreme" }] }] };
const median = (all: number[]) => [...all].sort((a, b) => a - b)[all.length >> 1]!;

/** From the start of loading the page to a row that can be read. */
async function firstPaint(p: Person): Promise<{ ms: number; cpu: number }> {
  const devtools = await p.context.newCDPSession(p.page);
  await devtools.send("Performance.enable");
  await p.page.goto(`${crowd.stage.url}/incidents`, { waitUntil: "commit" });
  await p.page.waitForSelector("#incidents .incident .title", { timeout: 60_000 });
  const ms = await p.page.evaluate(() => new Promise<number>((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now())))));
  const { metrics } = await devtools.send("Performance.getMetrics");
  await devtools.detach();
  return { ms, cpu: (metrics.find((m) => m.name === "TaskDuration")?.value ?? 0) * 1000 };
}

/**
 * Drags the map to and fro, a step a frame. What the page's main thread computes for a frame is the
 * console's part. Without a graphics processor it also waits for what draws the frame, here the
 * processor itself: that and the frames in a second tell of the machine.
 */
async function pan(p: Person, steps: number): Promise<Held & { main_thread_ms_per_frame: number; waits_for_drawing_ms_per_frame: number; frames_per_s: number }> {
  const box = (await p.page.locator(".maplibregl-canvas").boundingBox())!;
  const devtools = await p.context.newCDPSession(p.page);
  await devtools.send("Performance.enable");
  const spent = async () => {
    const { metrics } = await devtools.send("Performance.getMetrics");
    const of = (name: string) => metrics.find((m) => m.name === name)!.value * 1000;
    return { computed: of("ThreadTime"), busy: of("TaskDuration") };
  };
  await p.page.mouse.move(box.x + box.width / 2, box.y + box.height / 2 + 120);
  await p.page.mouse.down();
  await p.page.evaluate(() => {
    const w = window as unknown as { drawn: number };
    w.drawn = 0;
    const count = () => { w.drawn += 1; requestAnimationFrame(count); };
    requestAnimationFrame(count);
  });
  let took = 0;
  let before = { computed: 0, busy: 0 };
  let after = before;
  const stalls = await held(p.page, async () => {
    before = await spent();
    const began = Date.now();
    for (let n = 1; n <= steps; n += 1) await p.page.mouse.move(box.x + box.width / 2 + 200 * Math.sin(n / 12), box.y + box.height / 2 + 120 * Math.cos(n / 12));
    took = Date.now() - began;
    after = await spent();
  });
  const frames = await p.page.evaluate(() => (window as unknown as { drawn: number }).drawn);
  await p.page.mouse.up();
  await devtools.detach();
  const each = (ms: number) => Math.round((ms / frames) * 10) / 10;
  const computed = after.computed - before.computed;
  return { main_thread_ms_per_frame: each(computed), waits_for_drawing_ms_per_frame: each(after.busy - before.busy - computed), frames_per_s: Math.round((frames / took) * 1000), ...stalls };
}

/** Types the name of an edge; how long until the list is its incidents, and what held the page up. */
async function search(p: Person, edge: string, rows: number): Promise<Held & { ms: number }> {
  let ms = 0;
  const stalls = await held(p.page, async () => {
    await p.page.keyboard.press("f"); // and type
    await p.page.keyboard.type(edge);
    const began = Date.now();
    await until("what is found", async () => Number((await p.page.textContent("header .note"))!.replace(/\D/g, "")) === rows, 60_000);
    ms = Date.now() - began;
  });
  for (const row of await p.page.locator("#incidents .incident .where").allTextContents()) expect(row).toContain(edge.replaceAll("-", " "));
  await p.page.keyboard.press("Escape");
  await p.page.keyboard.press("Shift+X");
  return { ms, ...stalls };
}

/** From the event's arrival in the page to the frame after its row stands there. */
async function arrivals(p: Person, n: number): Promise<number[]> {
  await p.page.evaluate(() => {
    const w = window as unknown as { shown: Map<string, number> };
    w.shown = new Map();
    const list = document.querySelector("#incidents")!;
    new MutationObserver((changes) => {
      for (const c of changes) for (const node of c.addedNodes) {
        const id = (node as HTMLElement).dataset?.["id"];
        if (id && !w.shown.has(id)) requestAnimationFrame(() => setTimeout(() => w.shown.set(id, Date.now())));
      }
    }).observe(list, { childList: true });
  });
  const took: number[] = [];
  for (let i = 0; i < n; i += 1) {
    const id = await crowd.stage.tell("gate", { device: "yard", rule: "yard", kind: "zone", severity: "extreme", class: "person" });
    const shown = await until("it on the screen", () => p.page.evaluate((id) => (window as unknown as { shown: Map<string, number> }).shown.get(id), id), 30_000);
    // received_at is when the hub had it: its clock is this machine's.
    const { received_at } = await crowd.stage.api<{ received_at: string }>(`/incidents/${id}`);
    took.push(shown - Date.parse(received_at));
  }
  return took;
}

describe("speed", () => {
  let small: { ms: number; cpu: number };
  beforeAll(async () => {
    await crowd.stage.edge(gate);
    await crowd.stage.tell("gate", { device: "yard", rule: "yard", kind: "zone", severity: "minor", class: "person" });
    const p = await signedIn();
    await firstPaint(p);
    small = await firstPaint(p);
    await p.leaves();
    await crowd.stage.crowd({ edges: 20, devices: 2000, incidents: 10_000, open: 400 });
  }, 600_000);

  async function signedIn(): Promise<Person> {
    return (await crowd.sits()).signIn("li.wei", "/incidents");
  }

  it("paints, takes arrivals and scrolls with ten thousand incidents", async () => {
    const { devices } = await crowd.stage.api<{ devices: unknown[] }>("/devices?limit=200");
    expect(devices.length).toBeGreaterThan(100);
    const p = await signedIn();
    const paints = [];
    for (let n = 0; n < 5; n += 1) paints.push(await firstPaint(p));
    console.log(JSON.stringify({ figure: "first_useful_paint_ms", median: Math.round(median(paints.map((x) => x.ms))), all: paints.map((x) => Math.round(x.ms)), with_one_incident: Math.round(small.ms), cpu_ms: Math.round(median(paints.map((x) => x.cpu))) }));
    await p.live();
    await p.page.mouse.move(1, 1);
    await until("all of them", async () => Number((await p.page.textContent("header .note"))!.replace(/\D/g, "")) >= 400, 60_000);
    // Only what is seen is drawn.
    expect(await p.page.locator("#incidents .incident").count()).toBeLessThan(80);

    const took = await arrivals(p, 20);
    console.log(JSON.stringify({ figure: "hub_event_to_screen_ms", median: median(took), worst: Math.max(...took) }));

    await p.follow("/incidents?state=all");
    await until("older ones too", async () => {
      await p.page.evaluate(() => { const box = document.querySelector("#incidents")!.parentElement!; box.scrollTop = box.scrollHeight; });
      return Number((await p.page.textContent("header .note"))!.replace(/\D/g, "")) >= 10_000;
    }, 120_000);
    const scroll = await p.page.evaluate(() => new Promise<{ frames: number; slow: number; worst: number; drawn: number; blank: number }>((done) => {
      const box = document.querySelector("#incidents")!.parentElement!;
      box.scrollTop = 0;
      let last = performance.now();
      const gaps: number[] = [];
      let drawn = 0;
      let blank = 0;
      let n = 0;
      const step = () => {
        const now = performance.now();
        gaps.push(now - last);
        last = now;
        box.scrollTop += 400;
        drawn = Math.max(drawn, document.querySelectorAll("#incidents .incident").length);
        const edge = box.getBoundingClientRect();
        if (!document.elementFromPoint(edge.x + edge.width / 2, edge.y + edge.height / 2)?.closest(".incident")) blank += 1;
        n += 1;
        if (n < 300) requestAnimationFrame(step);
        else done({ frames: n, slow: gaps.filter((g) => g > 34).length, worst: Math.max(...gaps), drawn, blank });
      };
      requestAnimationFrame(step);
    }));
    console.log(JSON.stringify({ figure: "scrolling_10000", ...scroll, worst: Math.round(scroll.worst) }));
    expect(scroll.drawn).toBeLessThan(80);

    // Nobody has searched yet: all the texts that are looked through are made now, in between.
    await p.page.evaluate(() => (document.querySelector("#incidents")!.parentElement!.scrollTop = 0));
    for (const [figure, edge] of [["first_search_of_10000", "crowd-7"], ["next_search_of_10000", "crowd-8"]] as const) {
      console.log(JSON.stringify({ figure, ...(await search(p, edge, 10_000 / 20)) }));
    }

    for (const [view, path] of [["map", "/map"], ["devices", "/devices"]] as const) {
      const began = Date.now();
      await p.follow(path);
      await p.page.waitForSelector(view === "map" ? "canvas.maplibregl-canvas" : "h1");
      await until("the view", async () => (await p.page.locator(`a[href^="/devices/"], .maplibregl-canvas`).count()) > 0);
      console.log(JSON.stringify({ figure: `${view}_of_2000_devices_ms`, ms: Date.now() - began, elements: await p.page.locator("#main *").count() }));
      if (view === "map") {
        expect(await p.page.locator("aside button.row").count()).toBeLessThan(60); // only what is seen is drawn
        await p.page.waitForTimeout(3000); // it draws what came with the view
        const before = p.page.url();
        const moved = await pan(p, 120);
        await until("the map to have moved", async () => p.page.url() !== before);
        console.log(JSON.stringify({ figure: "map_panning", ...moved }));
      }
    }
  }, 400_000);
});
