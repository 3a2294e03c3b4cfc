// What sites say of themselves, by code: in the words of the console's language wherever it is shown. A sentence of a
// site whose version has no codes, and a code that this console does not know, are shown as they are.
import { describe, expect, it } from "vitest";
import { room } from "./support/room";
import { until } from "./support/stage";
import { languages } from "./support/words";

const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();
const hall = room({}, async (stage) => {
  await stage.user("boss", "administrator");
  await stage.edge({
    name: "gate",
    devices: [{ name: "yard", kind: "camera" }, { name: "old", kind: "camera" }, { name: "new", kind: "camera" }, { name: "level", kind: "sensor", unit: "m" }],
    states: [
      { device: "yard", state: "offline", cause: { code: "camera_full", params: { status: "453" }, text: "the camera has no room for another viewer (453)" }, since: ago(5) },
      { device: "old", state: "offline", cause: "the camera hung up", since: ago(5) },
      { device: "new", state: "offline", cause: { code: "camera_moonlight", text: "the moon is too bright" }, since: ago(5) },
    ],
    problems: [
      { code: "alerts_in_memory", params: { count: "3", cause: "the disk is full", cause_code: "disk_full" }, text: "3 alerts are only in memory: the disk is full" },
      { code: "worker_quarantined", params: { retry_in: "600", crashes: "2", cause: "x", cause_code: "worker_signal", cause_signal: "11" }, text: "x" },
      "something that an old edge says",
    ],
    gaps: [
      { id: "0196f000-0000-7000-8000-000000000001", kind: "readings", device: "level", from: ago(700), to: ago(640), count: 1240, reason: "store_full" },
      { id: "0196f000-0000-7000-8000-000000000002", kind: "readings", device: "another", from: ago(700), to: ago(640), count: 7, reason: "store_full" },
    ],
  });
});

const words = {
  en: {
    full: "the camera has no room for another viewer (error 453)", memory: "3 alerts are not stored yet and would be lost in a power cut: the edge's disk is full",
    quarantine: "detection is off for 10 minutes after 2 crashes in a row: the detector was ended by signal 11", gap: "1,240 readings", why: "the edge's store was full",
  },
  "zh-CN": {
    full: "摄像机无法再接受新的连接（错误453）", memory: "3条告警尚未保存，断电会丢失：边缘盒磁盘已满",
    quarantine: "检测程序连续崩溃2次，停用10分钟：检测程序被信号11终止", gap: "1,240条读数", why: "边缘盒存储已满",
  },
};

describe.each(languages)("%s", (language) => {
  const say = words[language];

  it("says why a device is offline", async () => {
    const p = await (await hall.sits({ language })).signIn("boss", "/devices/gate/yard");
    await p.page.getByText(say.full).waitFor();
    await p.follow("/devices");
    await p.page.locator('[data-site="gate"]').getByText(say.memory).waitFor(); // the worst of the site
    for (const text of [say.full, "the camera hung up", "the moon is too bright"]) await p.page.getByText(text).waitFor();
  });

  it("says what is wrong with an edge, worst first", async () => {
    const p = await (await hall.sits({ language })).signIn("boss", "/admin/edges");
    const problems = p.page.locator('[data-edge="gate"] .problems p');
    const told = await until("the problems", async () => { const all = await problems.allTextContents(); return all.length > 0 && all; });
    expect(told).toEqual([say.memory, say.quarantine, "something that an old edge says"]);
  });

  it("says what is lost for good, of this device alone", async () => {
    const p = await (await hall.sits({ language })).signIn("boss", "/devices/gate/level");
    const gaps = p.page.locator('section[aria-labelledby="gaps-title"] li');
    await gaps.first().waitFor();
    expect(await gaps.count()).toBe(1);
    expect(await gaps.textContent()).toContain(say.gap);
    expect(await gaps.textContent()).toContain(say.why);
    await p.follow("/devices/gate/yard");
    await p.page.getByText(say.full).waitFor();
    expect(await p.page.locator("#gaps-title").count()).toBe(0);
  });
});
