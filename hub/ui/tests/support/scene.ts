// A town on an ordinary evening, with something of everything: real cameras, a river that has risen for an
// hour, and edges that tell of the rest, with names as long as they may be. Accessibility and screenshots
// are looked at before this.
import { type Ask, type Stage, people, square, until } from "./stage";

export interface Scene {
  /** addresses of every view, by name */
  views: Record<string, string>;
  picture: string; // an incident with a picture
  level: string; // one with a curve
  report: string;
}

const minute = 60_000;
const ago = (ms: number) => new Date(Date.now() - ms).toISOString();
const north = "harbour-and-container-terminal-north-7";
const quay = "quay-camera-with-a-rather-long-name-01";

export async function setScene(stage: Stage): Promise<Scene> {
  await stage.user("boss", "administrator");
  for (const name of ["li.wei", "maximiliane-von-hohenstein"]) await stage.user(name, "dispatcher");
  await stage.user("guest", "monitor");
  await stage.site({ name: "liuxi", cameras: { market: [people], bridge: [], school: [], station: [] }, places: square });
  await edges(stage);
  const { level } = await incidents(stage);
  const [boss, liWei, max] = await Promise.all(["boss", "li.wei", "maximiliane-von-hohenstein"].map((name) => stage.as(name))) as [Ask, Ask, Ask];

  const title = "Caller reports smoke above the silk mill / 来电称丝绸厂上方有烟";
  const { id: report } = await max<{ id: string }>("/reports", { body: { title, text: "Where: silk mill, east wing\nReported by: Ms Wang, 555 0101\nShe sees it from the bridge. 从桥上看到。", severity: "severe", kind: "smoke", place: { lat: 30.91785, lon: 120.9279 } } });
  for (const url of ["https://alarms.invalid/gridpost/alerts", "https://receiver-of-the-county.invalid/very/long/address/of/a/receiver?with=parameters&and=more"]) await boss("/webhooks", { body: { url } });
  await boss("/tokens", { body: { name: "shift-report", role: "monitor" } });
  await boss("/edges", { body: { name: "new-warehouse" } });

  type Listed = { id: string; edge: string; device: string; evidence: { complete: boolean }[] };
  const all = async () => (await boss<{ incidents: Listed[] }>("/incidents?limit=200")).incidents;
  for (const i of (await all()).filter((i) => i.edge === "waterworks" && i.id !== level).slice(10)) await max(`/incidents/${i.id}/close`, { body: {} });
  const picture = await until("an incident with its picture", async () => (await all()).find((i) => i.device === "market" && i.evidence?.some((f) => f.complete))?.id, 120_000);
  await liWei(`/incidents/${picture}/acknowledge`, { body: {} });
  await liWei(`/incidents/${picture}/notes`, { body: { text: "Patrol is on its way. 巡逻队已出发。" } });
  await max(`/incidents/${level}/assign`, { body: { assignee: "li.wei" } });
  for (const who of [boss, liWei, max]) await who("/session", { method: "DELETE" }); // nobody is on duty for that
  return {
    picture, level, report,
    views: {
      incidents: "/incidents?state=all",
      found: "/incidents?state=all&since=range&from=2026-01-01T00:00&assignee=li.wei&sort=severity",
      print: `/incidents/${picture}/print`,
      none: "/incidents?severity=extreme&q=nothing+is+called+so",
      incident: `/incidents/${picture}`,
      level: `/incidents/${level}`,
      reported: `/incidents/${report}`,
      map: "/map",
      asked: `/map?ask=${square["river"]!.lat},${square["river"]!.lon}&at=${square["river"]!.lat},${square["river"]!.lon},16.5`,
      views: "/admin/views", // before there are looks of a moment at the wall
      wall: `/wall?n=4&cams=liuxi/market,liuxi/bridge,liuxi/school,${north}/${quay}`,
      devices: "/devices",
      camera: "/devices/liuxi/market",
      sensor: `/devices/${north}/cold-store`,
      offline: `/devices/${north}/tank-3`,
      report: "/report",
      users: "/admin/users",
      tokens: "/admin/tokens",
      edges: "/admin/edges",
      webhooks: "/admin/webhooks",
      audit: "/admin/audit",
      welcome: "/welcome",
      missing: "/no/such/view",
    },
  };
}

/** What a sensor has said: a value every so many minutes, from so many ago until so many ago. */
function history(device: string, unit: string, from: number, to: number, every: number, value: (ago: number) => number) {
  return Array.from({ length: Math.floor((from - to) / every) + 1 }, (_, n) => from - n * every)
    .map((m) => ({ device, time: ago(m * minute), value: Math.round(value(m) * 100) / 100, unit, quality: "good" }));
}

/** A number that is a little off, the same each time. */
const jitter = (n: number) => Math.sin(n * 2.1) * 0.6 + Math.sin(n * 5.3) * 0.4;

// All of it in what was measured m minutes ago: the rain that came after half an hour, the door left open.
const river = history("river", "m", 90, 0, 0.5, (m) => 0.62 + 1.75 / (1 + Math.exp((m - 13) / 5)) + jitter(m) * 0.015);
const coldStore = history("cold-store", "°C", 120, 0, 1, (m) => -18 + (m < 30 ? (30 - m) * 0.19 : 0) + jitter(m) * 0.2);
const tank = history("tank-3", "%", 720, 180, 45, (m) => 14 + m / 18 + jitter(m));
// Where these two went over their limits.
const flooded = river.find((r) => r.value > 2)!;
const warm = coldStore.find((r) => r.value > -15)!;

async function edges(stage: Stage): Promise<void> {
  const place = (n: number) => ({ lat: 30.917 + (n % 5) * 0.0014, lon: 120.923 + Math.floor(n / 5) * 0.003 });
  await stage.edge({
    name: north,
    devices: [
      { name: quay, kind: "camera", place: { ...place(3), heading: 200, fov: 70, range: 90, height: 12 }, rules: [{ name: "loading-area", kind: "zone", severity: "extreme" }] },
      { name: "gate", kind: "camera", place: { ...place(7), heading: 20, fov: 60, range: 50, height: 4 }, rules: [{ name: "gate", kind: "line", severity: "minor", direction: "up" }] },
      { name: "cold-store", kind: "sensor", unit: "°C", place: place(11), rules: [{ name: "warm", kind: "above", severity: "moderate", value: -15 }] },
      { name: "tank-3", kind: "sensor", unit: "%", place: place(14), rules: [{ name: "empty", kind: "below", severity: "severe", value: 10 }, { name: "silent", kind: "silence", severity: "severe" }] },
    ],
    states: [
      { device: quay, state: "offline", cause: { code: "camera_connection_refused", params: { address: "10.0.0.11:554" }, text: "nothing answers at 10.0.0.11:554 (connection refused)" }, since: ago(47 * minute) },
      { device: "tank-3", state: "offline", cause: { code: "sensor_silent", params: { seconds: "8100", every_seconds: "2700" }, text: "no reading for more than 2h15m, expected every 45m" }, since: ago(45 * minute) },
    ],
    readings: [...coldStore, ...tank],
    problems: [
      { code: "detection_stopped", params: { device: "gate", cause: "the worker exited with status 2", cause_code: "worker_exited", cause_status: "2", cause_retry_in: "300" }, text: "gate: nothing is detected: the worker exited with status 2" },
      { code: "clock_untrusted", text: "the clock of this edge is not synchronized" },
    ],
    gaps: [{ id: "0196f000-0000-7000-8000-000000000001", kind: "readings", device: "tank-3", from: ago(700 * minute), to: ago(640 * minute), count: 12, reason: "store_full" }],
  });
  await stage.edge({
    name: "waterworks",
    devices: [
      ...Array.from({ length: 18 }, (_, n) => ({ name: `${n % 3 ? "camera" : "pump"}-${n + 1}`, kind: n % 3 ? ("camera" as const) : ("sensor" as const), unit: n % 3 ? "" : "bar", place: { ...place(n), ...(n % 3 && { heading: n * 20, fov: 80, range: 60, height: 5 }) } })),
      { name: "river", kind: "sensor", unit: "m", place: square["river"]!, rules: [{ name: "flood", kind: "above", severity: "severe", value: 2 }] },
    ],
    readings: [...river, ...[1, 4, 7].flatMap((n) => history(`pump-${n}`, "bar", 60, 0, 1, (m) => 3 + n / 10 + jitter(m + n) * 0.05))],
  });
}

async function incidents(stage: Stage): Promise<{ level: string }> {
  await stage.tell(north, { device: quay, rule: "loading-area", kind: "zone", severity: "extreme", class: "person", opened_at: ago(48 * minute) });
  await stage.tell(north, { device: "cold-store", rule: "warm", kind: "above", severity: "moderate", value: warm.value, limit: -15, unit: "°C", opened_at: warm.time });
  await stage.tell(north, { device: "tank-3", rule: "silent", kind: "silence", severity: "severe", opened_at: ago(45 * minute) });
  const level = await stage.tell("waterworks", { device: "river", rule: "flood", kind: "above", severity: "severe", value: flooded.value, limit: 2, unit: "m", opened_at: flooded.time });
  for (let n = 0; n < 24; n += 1) {
    const opened = ago((n * 37 + 4) * minute);
    await stage.tell("waterworks", {
      device: `camera-${(n % 3) * 3 + 2}`, rule: n % 2 ? "fence" : "yard", kind: n % 2 ? "line" : "zone", severity: ["minor", "moderate", "minor", "severe"][n % 4]!,
      class: ["person", "car", "motion", "truck", "dog"][n % 5]!, opened_at: opened, ...(n % 5 > 1 && { state: "closed" as const, closed_at: new Date(Date.parse(opened) + 40_000).toISOString(), version: 2 }),
    });
  }
  return { level };
}
