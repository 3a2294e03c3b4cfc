// A town on an ordinary evening, with something of everything: real cameras and a river that rises,
// and boxes that tell of the rest, with names as long as they may be. Accessibility and screenshots
// are looked at before this.
import { type Stage, flood, passing, square, until } from "./stage";

export interface Scene {
  /** addresses of every view, by name */
  views: Record<string, string>;
  picture: string; // an incident with a picture
  level: string; // one with a curve
  report: string;
}

const minute = 60_000;
const ago = (ms: number) => new Date(Date.now() - ms).toISOString();

export async function setScene(stage: Stage): Promise<Scene> {
  await stage.user("boss", "administrator");
  await stage.user("li.wei", "dispatcher");
  await stage.user("maximiliane-von-hohenstein", "dispatcher");
  await stage.user("guest", "monitor");
  await stage.site({
    name: "liuxi", sensors: { river: [flood] }, places: square,
    cameras: { market: [passing], bridge: [], school: [], station: [] },
  });
  await boxes(stage);
  for (const level of [0.6, 0.9, 1.4, 1.9, 2.6, 3.1]) await stage.say("liuxi", "river", level);
  await incidents(stage);
  const title = "Caller reports smoke above the silk mill / 来电称丝绸厂上方有烟";
  await stage.api("/reports", { method: "POST", body: { title, text: "Where: silk mill, east wing\nReported by: Ms Wang, 555 0101\nShe sees it from the bridge. 从桥上看到。", severity: "severe", kind: "smoke", place: { lat: 30.91785, lon: 120.9279 } } });
  await stage.api("/webhooks", { method: "POST", body: { url: "https://alarms.invalid/gridpost/alerts" } });
  await stage.api("/webhooks", { method: "POST", body: { url: "https://receiver-of-the-county.invalid/very/long/address/of/a/receiver?with=parameters&and=more" } });
  await stage.api("/tokens", { method: "POST", body: { name: "shift-report", role: "monitor" } });
  await stage.api("/edges", { method: "POST", body: { name: "new-warehouse" } });
  type Listed = { id: string; device: string; source: string; evidence: { complete: boolean }[] };
  const all = async () => (await stage.api<{ incidents: Listed[] }>("/incidents?limit=200")).incidents;
  const picture = await until("an incident with its picture", async () => (await all()).find((i) => i.device === "market" && i.evidence?.some((f) => f.complete))?.id, 120_000);
  const level = await until("the river's incident", async () => (await all()).find((i) => i.device === "river")?.id);
  const report = (await all()).find((i) => i.source === "report")!.id;
  await stage.api(`/incidents/${picture}/acknowledge`, { method: "POST", body: {} });
  await stage.api(`/incidents/${picture}/notes`, { method: "POST", body: { text: "Patrol is on its way. 巡逻队已出发。" } });
  await stage.api(`/incidents/${level}/assign`, { method: "POST", body: { assignee: "li.wei" } });
  return {
    picture, level, report,
    views: {
      incidents: "/incidents?state=all",
      incident: `/incidents/${picture}`,
      level: `/incidents/${level}`,
      reported: `/incidents/${report}`,
      map: "/map",
      wall: "/wall?n=4&cams=liuxi/market,liuxi/bridge,liuxi/school,harbour-and-container-terminal-north-7/quay-camera-with-a-rather-long-name-01",
      devices: "/devices",
      camera: "/devices/liuxi/market",
      sensor: "/devices/harbour-and-container-terminal-north-7/cold-store",
      report: "/report",
      users: "/admin/users",
      tokens: "/admin/tokens",
      boxes: "/admin/boxes",
      webhooks: "/admin/webhooks",
      views: "/admin/views",
      welcome: "/welcome",
      missing: "/no/such/view",
    },
  };
}

async function boxes(stage: Stage): Promise<void> {
  const place = (n: number) => ({ lat: 30.917 + (n % 5) * 0.0014, lon: 120.923 + Math.floor(n / 5) * 0.003 });
  await stage.box({
    name: "harbour-and-container-terminal-north-7",
    devices: [
      { name: "quay-camera-with-a-rather-long-name-01", kind: "camera", place: { ...place(3), heading: 200, fov: 70, range: 90, height: 12 }, rules: [{ name: "loading-area", kind: "zone", severity: "extreme" }] },
      { name: "gate", kind: "camera", place: { ...place(7), heading: 20, fov: 60, range: 50, height: 4 }, rules: [{ name: "gate", kind: "line", severity: "minor", direction: "up" }] },
      { name: "cold-store", kind: "sensor", unit: "°C", place: place(11), rules: [{ name: "warm", kind: "above", severity: "moderate", value: -15 }] },
      { name: "tank-3", kind: "sensor", unit: "%", place: place(14), rules: [{ name: "empty", kind: "below", severity: "severe", value: 10 }] },
    ],
    states: [
      { device: "quay-camera-with-a-rather-long-name-01", state: "offline", cause: "nothing answers at 10.0.0.11:554 (connection refused)", since: ago(47 * minute) },
      { device: "tank-3", state: "offline", cause: "no reading for more than 2h15m, expected every 45m", since: ago(135 * minute) },
    ],
    readings: Array.from({ length: 60 }, (_, n) => ({ device: "cold-store", time: ago((60 - n) * minute), value: -18 + Math.sin(n / 8), unit: "°C", quality: "good" })),
  });
  await stage.box({
    name: "waterworks",
    devices: Array.from({ length: 18 }, (_, n) => ({ name: `${n % 3 ? "camera" : "pump"}-${n + 1}`, kind: n % 3 ? ("camera" as const) : ("sensor" as const), unit: n % 3 ? "" : "bar", place: { ...place(n), ...(n % 3 && { heading: n * 20, fov: 80, range: 60, height: 5 }) } })),
    readings: [1, 4, 7].map((n) => ({ device: `pump-${n}`, time: ago(n * 10_000), value: 3 + n / 10, unit: "bar", quality: "good" })),
  });
}

async function incidents(stage: Stage): Promise<void> {
  const north = "harbour-and-container-terminal-north-7";
  await stage.tell(north, { device: "quay-camera-with-a-rather-long-name-01", rule: "loading-area", kind: "zone", severity: "extreme", class: "person", opened_at: ago(2 * minute) });
  await stage.tell(north, { device: "cold-store", rule: "warm", kind: "above", severity: "moderate", value: -12.4, limit: -15, unit: "°C", opened_at: ago(18 * minute) });
  await stage.tell(north, { device: "tank-3", rule: "silent", kind: "silence", severity: "severe", opened_at: ago(135 * minute) });
  for (let n = 0; n < 24; n += 1) {
    const opened = ago((n * 37 + 4) * minute);
    await stage.tell("waterworks", {
      device: `camera-${(n % 3) * 3 + 2}`, rule: n % 2 ? "fence" : "yard", kind: n % 2 ? "line" : "zone", severity: ["minor", "moderate", "minor", "severe"][n % 4]!,
      class: ["person", "car", "motion", "truck", "dog"][n % 5]!, opened_at: opened, ...(n % 5 > 1 && { state: "closed" as const, closed_at: new Date(Date.parse(opened) + 40_000).toISOString(), version: 2 }),
    });
  }
  const { incidents } = await stage.api<{ incidents: { id: string; edge: string }[] }>("/incidents?limit=200");
  for (const i of incidents.filter((i) => i.edge === "waterworks").slice(10)) await stage.api(`/incidents/${i.id}/close`, { method: "POST", body: {} });
}
