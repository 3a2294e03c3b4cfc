import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { make } from "../../tests/fixtures/incident";
import type { Mute } from "../api/types";
import { link } from "./link.svelte";
import { Mutes } from "./mutes.svelte";

const mute = (rule: string, minutes: number, more: Partial<Mute> = {}): Mute => ({
  id: rule, edge: "yard", device: "gate", rule, site: "yard", reason: "rain", who: "li", began_at: new Date().toISOString(),
  until: new Date(Date.now() + minutes * 60_000).toISOString(), ended_at: null, ...more,
} as Mute);

/** The hub behind fetch: a list of mutes, two to a page, and a stream. */
class Hub {
  mutes: Mute[] = [];
  refuses = 0; // so many requests for the list
  during: (() => void) | null = null; // runs while the list is on its way
  #out: ReadableStreamDefaultController<Uint8Array> | null = null;

  fetch = async (path: RequestInfo | URL, o: RequestInit = {}): Promise<Response> => {
    const url = new URL(String(path), "http://hub");
    if (url.pathname === "/api/v1/stream") return new Response(new ReadableStream({ start: (out) => void (this.#out = out) }));
    if (o.method === "POST") return new Response(JSON.stringify(mute((JSON.parse(String(o.body)) as Mute).rule, 5)), { status: 201 });
    if (o.method === "DELETE") return new Response(null, { status: 204 });
    if (this.refuses-- > 0) return new Response("{}", { status: 503 });
    const from = Number(url.searchParams.get("next") ?? 0);
    const body = JSON.stringify({ mutes: this.mutes.slice(from, from + 2), next: from + 2 < this.mutes.length ? String(from + 2) : null });
    this.during?.();
    await Promise.resolve();
    return new Response(body);
  };

  say(m: Mute): void {
    this.#out!.enqueue(new TextEncoder().encode(`id: 2\nevent: mute\ndata: ${JSON.stringify(m)}\n\n`));
  }

  async greet(): Promise<void> {
    await vi.advanceTimersByTimeAsync(1);
    this.#out!.enqueue(new TextEncoder().encode(": welcome\nid: 1\n\n"));
    await vi.advanceTimersByTimeAsync(300);
  }
}

let hub: Hub;
let mutes: Mutes;
let end: () => void;
const rules = () => mutes.all.map((m) => m.rule).join(" ");

beforeEach(() => {
  vi.useFakeTimers();
  hub = new Hub();
  vi.stubGlobal("fetch", hub.fetch);
  mutes = new Mutes();
  end = mutes.start();
  link.start();
});
afterEach(() => {
  link.stop();
  end();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it("holds all that are in force, each until its time", async () => {
  hub.mutes = [mute("long", 60), mute("short", 1), mute("middle", 5)];
  await hub.greet();
  expect(rules()).toBe("short middle long");
  await vi.advanceTimersByTimeAsync(61_000);
  expect(rules()).toBe("middle long");
  await vi.advanceTimersByTimeAsync(3600_000);
  expect(rules()).toBe("");
  expect(vi.getTimerCount()).toBeLessThan(10);
});

it("follows the stream, which another mute of a rule and its end come by", async () => {
  await hub.greet();
  hub.say(mute("fence", 5));
  await vi.advanceTimersByTimeAsync(1);
  expect(rules()).toBe("fence");
  hub.say(mute("fence", 9, { id: "again", reason: "snow" }));
  await vi.advanceTimersByTimeAsync(1);
  expect(mutes.of({ edge: "yard", device: "gate", rule: "fence" })?.reason).toBe("snow");
  expect(mutes.of({ edge: "yard", device: "other", rule: "fence" })).toBeUndefined();
  hub.say(mute("fence", 9, { id: "again", ended_at: new Date().toISOString() }));
  await vi.advanceTimersByTimeAsync(1);
  expect(rules()).toBe("");
});

it("loses nothing that happens while the list is on its way", async () => {
  hub.mutes = [mute("over", 5), mute("stays", 5)];
  hub.during = () => {
    hub.during = null;
    hub.say(mute("over", 5, { ended_at: new Date().toISOString() }));
    hub.say(mute("new", 5));
  };
  hub.refuses = 1;
  await hub.greet();
  expect(mutes.loaded).toBe(false);
  expect(mutes.error).not.toBeNull();
  await vi.advanceTimersByTimeAsync(7000);
  expect(mutes.error).toBeNull();
  expect(mutes.all.map((m) => m.rule).sort()).toEqual(["new", "stays"]);
});

it("hides what nobody has taken, and believes the incident until the list is there", async () => {
  hub.refuses = 1;
  await hub.greet();
  const later = new Date(Date.now() + 60_000).toISOString();
  expect(mutes.hides(make({ rule: "fence", muted_until: later }))).toBe(true);
  expect(mutes.hides(make({ rule: "fence", muted_until: new Date(Date.now() - 1).toISOString() }))).toBe(false);
  expect(mutes.hides(make({ rule: "fence" }))).toBe(false);
  hub.mutes = [mute("gate", 5)];
  await vi.advanceTimersByTimeAsync(7000);
  expect(mutes.hides(make({ rule: "fence", muted_until: later }))).toBe(false); // it was ended
  expect(mutes.hides(make({ rule: "gate" }))).toBe(true);
  expect(mutes.hides(make({ rule: "gate", state: "acknowledged" }))).toBe(false);
});

it("shows at once what somebody does here", async () => {
  await hub.greet();
  const m = await mutes.mute({ edge: "yard", device: "gate", rule: "fence" }, 5, "rain");
  expect(rules()).toBe("fence");
  await mutes.end(m);
  expect(rules()).toBe("");
});
