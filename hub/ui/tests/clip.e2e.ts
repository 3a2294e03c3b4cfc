// The clip of an incident: watched with a purpose, frame by frame, and downloaded as it was signed.
import { beforeAll, describe, expect, it } from "vitest";
import { faults } from "./support/axe";
import { ways } from "./support/people";
import { room } from "./support/room";
import { people, square, until } from "./support/stage";

interface File { name: string; content_type: string; complete: boolean; sha256: string }
interface Told { id: string; opened_at: string; evidence: (File & { clip?: { from: string; to: string; frames: number } })[] }
interface View { who: string; incident?: string; file?: string; ended_at: string | null }

let incident: Told;

const town = room({}, async (stage) => {
  await stage.user("li.wei", "dispatcher");
  await stage.site({ name: "liuxi", cameras: { market: [people] }, places: square, clips: { before: "3s", after: "3s", longest: "3s" } });
});
beforeAll(async () => {
  incident = await until("a clip", async () => {
    const { incidents } = await town.stage.api<{ incidents: Told[] }>("/incidents");
    return incidents.find((i) => i.evidence.some((f) => f.name === "clip.mp4" && f.complete));
  }, 90_000);
}, 120_000);

describe.each(ways)("%s, by %s", (language, hand) => {
  it("plays a clip, steps by frames, and downloads it", async () => {
    const p = await (await town.sits({ language, hand })).signIn("li.wei", `/incidents/${incident.id}`);
    await p.press("[data-mode=clip]");
    await p.press(".stage .empty button");
    const video = p.page.locator("video#clip");
    const look = () => video.evaluate((v: HTMLVideoElement) => ({ at: v.currentTime, length: v.duration, width: v.videoWidth, paused: v.paused, frames: v.getVideoPlaybackQuality().totalVideoFrames }));
    const seen = await until("video that plays", async () => {
      const now = await look();
      return now.width > 0 && now.frames > 5 ? now : undefined;
    });
    const clip = incident.evidence.find((f) => f.name === "clip.mp4")!.clip!;
    const seconds = (Date.parse(clip.to) - Date.parse(clip.from)) / 1000;
    expect(seen.length).toBeCloseTo(seconds, 0); // the browser knows the length at once
    expect(seen.width).toBe(768);

    // A seek into the middle, then one frame on and one back.
    await video.evaluate((v: HTMLVideoElement, at) => { v.pause(); v.currentTime = at; }, seconds / 2);
    await until("the middle", async () => { const now = await video.evaluate((v: HTMLVideoElement) => !v.seeking && v.readyState >= 2); return now || undefined; });
    const middle = (await look()).at;
    expect(middle).toBeCloseTo(seconds / 2, 1);
    await p.page.keyboard.press("ArrowRight");
    const on = await until("the next frame", async () => { const now = (await look()).at; return now > middle ? now : undefined; });
    expect(on - middle).toBeLessThan(0.15);
    await p.page.keyboard.press("ArrowLeft");
    await until("the frame before", async () => ((await look()).at < on ? true : undefined));
    expect(await faults(p)).toEqual([]);

    // What is downloaded is what the edge announced.
    const href = await p.page.locator("figcaption a.save").getAttribute("href");
    const sum = await p.page.evaluate(async (url) => {
      const bytes = await (await fetch(url)).arrayBuffer();
      return [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((b) => b.toString(16).padStart(2, "0")).join("");
    }, href!);
    expect(sum).toBe(incident.evidence.find((f) => f.name === "clip.mp4")!.sha256);

    // It is on record, and ends when the clip is not looked at any more.
    const { views } = await town.stage.api<{ views: View[] }>("/views");
    expect(views[0]).toMatchObject({ incident: incident.id, file: "clip.mp4", ended_at: null });
    await p.press("[data-mode=picture]");
    await until("the end of the view", async () => {
      const { views } = await town.stage.api<{ views: View[] }>("/views");
      return views.every((v) => v.ended_at !== null) || undefined;
    });
  });
});
