import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Incident } from "../api/types";
import { Link, type Patience } from "./link.svelte";

const patience: Patience = { silence: 6000, probe: 3000, offlineAfter: 10_000, pauses: [100, 200], spread: 1000 };

/** A hub that is spoken to by fetch, and what it does next. */
class Hub {
  asked: { path: string; last: string | null }[] = [];
  up = true;
  status = 200;
  healthy = true;
  #out: ReadableStreamDefaultController<Uint8Array> | null = null;

  fetch = (path: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    if (String(path) === "/healthz") return this.healthy ? Promise.resolve(new Response("ok")) : Promise.reject(new TypeError("no"));
    this.asked.push({ path: String(path), last: new Headers(init?.headers).get("Last-Event-ID") });
    if (!this.up) return Promise.reject(new TypeError("no"));
    if (this.status !== 200) return Promise.resolve(new Response("{}", { status: this.status }));
    const body = new ReadableStream<Uint8Array>({
      start: (out) => {
        this.#out = out;
        init?.signal?.addEventListener("abort", () => {
          try {
            out.error(new DOMException("aborted", "AbortError"));
          } catch { /* it has ended already */ }
        });
      },
    });
    return Promise.resolve(new Response(body));
  };

  say(text: string): Promise<void> {
    this.#out!.enqueue(new TextEncoder().encode(text));
    return settle();
  }

  async end(): Promise<void> {
    this.#out!.close();
    await settle();
  }

  async breaks(): Promise<void> {
    this.#out!.error(new TypeError("gone"));
    await settle();
  }
}

const settle = async () => void (await vi.advanceTimersByTimeAsync(1));

function start(status = 200) {
  const hub = new Hub();
  hub.status = status;
  const link = new Link(patience, { fetch: hub.fetch, now: () => Date.now() });
  const seen: string[] = [];
  link.on("incident", (i, id) => seen.push(`${id} ${i.id}`));
  let fresh = 0;
  link.onFresh(() => (fresh += 1));
  link.start();
  return { hub, link, seen, fresh: () => fresh };
}

beforeEach(() => {
  vi.useFakeTimers();
  // A stream that ends makes the session ask whether it is still there.
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(JSON.stringify({ user: "kim", role: "dispatcher", expires_at: null }))));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const event = (id: number) => `id: ${id}\nevent: incident\ndata: ${JSON.stringify({ id: `i${id}` } as Incident)}\n\n`;

describe("Link", () => {
  it("is live when the hub has spoken, not before, and asks for the lists then", async () => {
    const { hub, link, seen, fresh } = start();
    await settle();
    expect(link.state).toBe("connecting");
    await hub.say(": welcome\nretry: 2000\nid: 5\n\n");
    expect(link.state).toBe("live");
    expect(fresh()).toBe(1);
    await hub.say(event(6));
    expect(seen).toEqual(["6 i6"]);
    link.stop();
  });

  it("goes on where it broke off, without fetching everything again", async () => {
    const { hub, link, seen, fresh } = start();
    await settle();
    await hub.say(`: welcome\nid: 5\n\n${event(6)}`);
    await hub.breaks();
    expect(link.state).toBe("reconnecting");
    expect(link.cause).toBe("unreachable");
    expect(link.since).toBeGreaterThan(0);
    await vi.advanceTimersByTimeAsync(300);
    expect(hub.asked.at(-1)!.last).toBe("6");
    await hub.say(`: welcome\n\n${event(7)}`);
    expect(link.state).toBe("live");
    expect(link.since).toBe(0);
    expect(seen).toEqual(["6 i6", "7 i7"]);
    expect(fresh()).toBe(1);
    link.stop();
  });

  it("remembers the greeting's number when it breaks before the first event", async () => {
    const { hub, link } = start();
    await settle();
    await hub.say(": welcome\nid: 41\n\n");
    await hub.breaks();
    await vi.advanceTimersByTimeAsync(300);
    expect(hub.asked.at(-1)!.last).toBe("41");
    link.stop();
  });

  it("has everything fetched anew after a reset", async () => {
    const { hub, link, fresh } = start();
    await settle();
    await hub.say(": welcome\nid: 5\n\n");
    await hub.say("id: 900\nevent: reset\ndata: {}\n\nid: 901\nevent: reset\ndata: {}\n\n");
    expect(fresh()).toBe(1); // not at once: all consoles get a reset at the same time
    await vi.advanceTimersByTimeAsync(1000);
    expect(fresh()).toBe(2);
    link.stop();
  });

  it("names the history of its position, as soon as it has seen an event of it", async () => {
    const { hub, link } = start();
    const again = async () => {
      await hub.breaks();
      await vi.advanceTimersByTimeAsync(300);
      return hub.asked.at(-1)!;
    };
    await settle();
    expect(hub.asked[0]).toEqual({ path: "/api/v1/stream", last: null });
    await hub.say('id: 5\nevent: hello\ndata: {"history":"h1","hub":"a"}\n\n');
    expect(await again()).toEqual({ path: "/api/v1/stream?history=h1", last: "5" });
    await hub.say(`event: hello\ndata: {"history":"h2","hub":"b"}\n\n`);
    // Nothing of h2 has been seen: a reset may have been on its way.
    expect(await again()).toEqual({ path: "/api/v1/stream?history=h1", last: "5" });
    await hub.say(`event: hello\ndata: {"history":"h2","hub":"b"}\n\n${event(6)}`);
    expect(await again()).toEqual({ path: "/api/v1/stream?history=h2", last: "6" });
    link.stop();
  });

  it("handles every event, whatever a handler throws, and goes on after the last one that was handled", async () => {
    const failed: unknown[] = [];
    const hub = new Hub();
    const link = new Link(patience, { fetch: hub.fetch, failed: (e) => failed.push(e) });
    const seen: string[] = [];
    link.on("incident", (i) => {
      if (i.id !== "i8") throw new Error(`no ${i.id}`);
    });
    link.on("incident", (i) => seen.push(i.id));
    link.start();
    await settle();
    await hub.say(`: welcome\nid: 5\n\n${event(6)}id: 7\nevent: incident\ndata: no JSON\n\n${event(8)}${event(9).trimEnd()}`);
    expect(seen).toEqual(["i6", "i8"]);
    expect(failed.length).toBe(2);
    await hub.breaks();
    await vi.advanceTimersByTimeAsync(300);
    expect(hub.asked.at(-1)!.last).toBe("8"); // 9 had not come whole
    link.stop();
  });

  it("says since when it is offline, and keeps that time", async () => {
    const { hub, link } = start();
    await settle();
    await hub.say(": welcome\nid: 5\n\n");
    hub.up = false;
    await hub.breaks();
    const since = link.since;
    expect(link.state).toBe("reconnecting");
    await vi.advanceTimersByTimeAsync(11_000);
    expect(link.state).toBe("offline");
    expect(link.since).toBe(since);
    hub.up = true;
    await vi.advanceTimersByTimeAsync(400);
    await hub.say(": welcome\n\n");
    expect(link.state).toBe("live");
    link.stop();
  });

  it("notices a line that is open but dead", async () => {
    const { hub, link } = start();
    await settle();
    await hub.say(": welcome\nid: 5\n\n");
    await vi.advanceTimersByTimeAsync(20_000);
    expect(link.state).toBe("live"); // silent, but the hub answers when asked
    hub.healthy = false;
    await vi.advanceTimersByTimeAsync(6_100);
    expect(link.state).toBe("reconnecting");
    expect(link.cause).toBe("silent");
    link.stop();
  });

  it("tells a refusal from an absence", async () => {
    const { link } = start(503);
    await vi.advanceTimersByTimeAsync(500);
    expect(link.cause).toBe("refused");
    expect(link.status).toBe(503);
    link.stop();
  });

  it("believes the machine that its network is gone, and tries at once when told", async () => {
    const { hub, link } = start();
    await settle();
    await hub.say(": welcome\nid: 5\n\n");
    hub.up = false;
    link.networkGone();
    await settle();
    expect(link.state).toBe("reconnecting");
    expect(link.cause).toBe("network");
    hub.up = true;
    link.retry();
    await settle();
    await hub.say(": welcome\n\n");
    expect(link.state).toBe("live");
    link.stop();
  });

  it("is quiet after stop", async () => {
    const { hub, link } = start();
    await settle();
    await hub.say(": welcome\nid: 5\n\n");
    link.stop();
    const asked = hub.asked.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(hub.asked.length).toBe(asked);
  });
});
