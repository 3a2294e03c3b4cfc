// Several tabs of one browser: who reads the stream, and that none of them misses an event.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Link, type Patience } from "./link.svelte";
import { Election } from "./election";
import { type Lead, type Message, type Tabs, take } from "./tabs";

const patience: Patience = { silence: 6000, probe: 3000, offlineAfter: 10_000, pauses: [100, 200], spread: 1000 };

/** A hub with a feed that is numbered, and the streams that read it. */
class Hub {
  feed: string[] = []; // feed[n] has the number n + 1
  history = "first";
  kept = 0; // numbers up to this one are no longer kept
  up = true;
  asked: { last: string | null; history: string | null }[] = [];
  readers = new Set<{ at: number; out: ReadableStreamDefaultController<Uint8Array> }>();

  fetch = (path: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    if (!this.up) return Promise.reject(new TypeError("no"));
    const url = new URL(String(path), "http://hub");
    if (url.pathname === "/healthz") return Promise.resolve(new Response("ok"));
    const last = new Headers(init?.headers).get("Last-Event-ID");
    const history = url.searchParams.get("history");
    this.asked.push({ last, history });
    let reader: { at: number; out: ReadableStreamDefaultController<Uint8Array> };
    const body = new ReadableStream<Uint8Array>({
      start: (out) => {
        const now = this.feed.length;
        reader = { at: last === null ? now : Number(last), out };
        this.readers.add(reader);
        write(out, `: welcome\n${last === null ? `id: ${now}\n` : ""}event: hello\ndata: {"history":"${this.history}"}\n\n`);
        if (last !== null && ((history !== null && history !== this.history) || reader.at < this.kept || reader.at > now)) {
          reader.at = now;
          write(out, `id: ${now}\nevent: reset\ndata: {}\n\n`);
        }
        this.#send(reader);
        init?.signal?.addEventListener("abort", () => this.#drop(reader));
      },
      cancel: () => void this.readers.delete(reader),
    });
    return Promise.resolve(new Response(body));
  };

  #drop(r: { out: ReadableStreamDefaultController<Uint8Array> } & { at: number }): void {
    if (this.readers.delete(r)) r.out.error(new DOMException("aborted", "AbortError"));
  }

  #send(r: { at: number; out: ReadableStreamDefaultController<Uint8Array> }): void {
    for (; r.at < this.feed.length; r.at += 1) write(r.out, `id: ${r.at + 1}\nevent: incident\ndata: {"id":"${this.feed[r.at]}"}\n\n`);
  }

  happens(what: string): void {
    this.feed.push(what);
    for (const r of this.readers) this.#send(r);
  }

  /** All streams break; also what was on its way. */
  breaks(): void {
    for (const r of [...this.readers]) {
      this.readers.delete(r);
      r.out.error(new TypeError("gone"));
    }
  }

  /** Another database: other numbers. */
  anew(): void {
    this.breaks();
    this.history = `${this.history}+`;
    this.feed = this.feed.slice(0, this.feed.length >> 1);
  }
}

function write(out: ReadableStreamDefaultController<Uint8Array>, text: string): void {
  out.enqueue(new TextEncoder().encode(text));
}

/** A browser: its tabs, the one lock, and messages that arrive in order after a while. */
class Browser {
  tabs: Tab[] = [];
  holder: { tab: Tab; lost: AbortController } | null = null;
  queue: { tab: Tab; resolve: (l: Lead) => void; reject: (e: unknown) => void }[] = [];
  streams = 0;

  constructor(readonly hub: Hub, readonly locks: boolean, readonly delay: () => number) {}

  opens(): Tab {
    const tab = new Tab(this);
    this.tabs.push(tab);
    tab.link.start();
    return tab;
  }

  grant(): void {
    const next = this.queue.shift();
    if (next) next.resolve(this.give(next.tab));
    else this.holder = null;
  }

  give(tab: Tab): Lead {
    const lost = new AbortController();
    const mine = { tab, lost };
    this.holder = mine;
    return { lost: lost.signal, end: () => void (this.holder === mine && this.grant()) };
  }
}

class Tab {
  link: Link;
  heard: string[] = []; // by the stream
  seen: string[] = []; // by the stream or in the lists that were fetched last
  fresh = 0;
  asked = 0;
  frozen = false;
  open = true;
  failed: unknown[] = [];

  constructor(private readonly browser: Browser) {
    this.link = new Link(patience, {
      fetch: (path, init) => { this.asked += 1; return browser.hub.fetch(path, init); }, now: () => Date.now(), random: () => 0.5, failed: (e) => this.failed.push(e),
      tabs: (_, receive) => this.#tabs(receive),
    });
    this.link.on("incident", (i) => {
      this.heard.push(i.id);
      if (!this.seen.includes(i.id)) this.seen.push(i.id);
    });
    this.link.onFresh(() => {
      this.fresh += 1;
      this.seen = [...browser.hub.feed]; // the lists have all that has happened
    });
  }

  #waiting: { at: number; m: Message }[] = [];
  receive: (m: Message) => void = () => {};
  election: Election | null = null;

  #send(m: Message): void {
    if (this.frozen || !this.open) return;
    for (const other of this.browser.tabs) if (other !== this && other.open) other.#arrives(structuredClone(m), Date.now() + this.browser.delay());
  }

  #tabs(receive: (m: Message) => void): Tabs {
    this.receive = receive;
    const b = this.browser;
    if (!b.locks) {
      const election = (this.election = new Election((m) => this.#send(m), () => false));
      this.receive = (m) => take(election, m, receive);
      return {
        lead: (signal) => election.lead(signal), steal: () => Promise.resolve(null), send: (m) => this.#send(m),
        close: () => { election.leave(); this.open = false; },
      };
    }
    return {
      lead: (signal) => new Promise((resolve, reject) => {
        if (!b.holder) return resolve(b.give(this));
        const entry = { tab: this, resolve, reject };
        b.queue.push(entry);
        signal.addEventListener("abort", () => {
          b.queue = b.queue.filter((q) => q !== entry);
          reject(signal.reason);
        });
      }),
      steal: () => {
        b.holder?.lost.abort();
        return Promise.resolve(b.give(this));
      },
      send: (m) => this.#send(m),
      close: () => (this.open = false),
    };
  }

  #arrives(m: Message, at: number): void {
    const last = this.#waiting.at(-1);
    this.#waiting.push({ at: Math.max(at, last?.at ?? 0), m });
    setTimeout(() => this.#deliver(), Math.max(at, last?.at ?? 0) - Date.now());
  }

  #deliver(): void {
    const next = this.#waiting.shift();
    if (next && this.open && !this.frozen) this.receive(next.m);
  }

  /** The tab is closed: whatever it was doing ends. When it crashes, nobody is told. */
  closes(crash = false): void {
    if (crash || this.browser.locks) this.open = false;
    this.link.stop();
    this.browser.tabs = this.browser.tabs.filter((t) => t !== this);
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(JSON.stringify({ user: "kim", role: "dispatcher", expires_at: null }))));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** The tab whose stream it is. */
const leading = (tabs: Tab[]): Tab => tabs.find((t) => t.asked > 0)!;

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe.each([["by Web Locks", true], ["by messages", false]])("six tabs, %s,", (_, locks) => {
  async function six(): Promise<{ hub: Hub; browser: Browser; tabs: Tab[] }> {
    const hub = new Hub();
    const browser = new Browser(hub, locks, () => 1);
    const tabs = Array.from({ length: 6 }, () => browser.opens());
    await pass(500);
    return { hub, browser, tabs };
  }

  it("share one stream, and each gets every event once", async () => {
    const { hub, tabs } = await six();
    expect(hub.asked.length).toBe(1);
    for (let n = 0; n < 20; n += 1) hub.happens(`i${n}`);
    await pass(100);
    for (const t of tabs) {
      expect(t.link.state).toBe("live");
      expect(t.fresh).toBe(1);
      expect(t.seen).toEqual(hub.feed);
    }
    expect(hub.readers.size).toBe(1);
  });

  it("go on with the next one when the tab is closed that leads, without a lost event and without fetching anew", async () => {
    const { hub, browser, tabs } = await six();
    hub.happens("before");
    await pass(50);
    leading(tabs).closes();
    hub.happens("between");
    await pass(500);
    hub.happens("after");
    await pass(50);
    for (const t of browser.tabs) {
      expect(t.seen).toEqual(["before", "between", "after"]);
      expect(t.fresh).toBe(1);
      expect(t.link.state).toBe("live");
    }
    expect(hub.asked.map((a) => a.last)).toEqual([null, "1"]);
  });

  it("replace a leading tab that does not answer", async () => {
    const { hub, tabs } = await six();
    const stuck = leading(tabs);
    stuck.frozen = true;
    await pass(12_000);
    hub.happens("later");
    await pass(100);
    for (const t of tabs) if (t !== stuck) expect(t.seen).toEqual(["later"]);
    stuck.frozen = false;
    hub.happens("last");
    await pass(12_000);
    expect(hub.readers.size).toBe(1);
    expect(stuck.seen.at(-1)).toBe("last");
  });

  it("notice with the next event that one of them has missed some, and fetch the lists there alone", async () => {
    const { hub, tabs } = await six();
    const deaf = tabs.find((t) => t !== leading(tabs))!;
    deaf.frozen = true;
    hub.happens("missed");
    await pass(50);
    deaf.frozen = false;
    hub.happens("next");
    await pass(1000);
    for (const t of tabs) expect(t.seen).toEqual(["missed", "next"]);
    expect(tabs.map((t) => t.fresh)).toEqual(tabs.map((t) => (t === deaf ? 2 : 1)));
  });

  it("leave a quiet leading tab its lead", async () => {
    const { hub } = await six();
    await pass(120_000);
    expect(hub.asked.length).toBe(1);
  });

  it("say all the same about the link", async () => {
    const { hub, tabs } = await six();
    hub.up = false;
    hub.breaks();
    await pass(1000);
    expect(tabs.map((t) => t.link.state)).toEqual(tabs.map(() => "reconnecting"));
    expect(new Set(tabs.map((t) => t.link.since)).size).toBe(1);
    hub.up = true;
    tabs[3]!.link.retry();
    await pass(300);
    expect(tabs.map((t) => t.link.state)).toEqual(tabs.map(() => "live"));
  });
});

it.each([["Web Locks", true], ["messages", false]])("any tabs that come, go, freeze and lose their hub, by %s, have seen everything in the end, and each event once", { timeout: 120_000 }, async (_, locks) => {
  for (let seed = 1; seed <= 300; seed += 1) {
    let s = seed * 7919;
    const random = (below: number) => (s = (s * 48_271) % 2_147_483_647) % below;
    const hub = new Hub();
    const browser = new Browser(hub, locks, () => random(40));
    const every: Tab[] = [];
    for (let step = 0; step < 40; step += 1) {
      const tabs = browser.tabs;
      const any = tabs[random(Math.max(1, tabs.length))];
      switch (random(10)) {
        case 0: if (tabs.length < 6) every.push(browser.opens()); break;
        case 1: any?.closes(random(2) === 0); break;
        case 2: hub.breaks(); break;
        case 3: if (random(4) === 0) hub.anew(); break;
        case 4: if (random(3) === 0) hub.kept = hub.feed.length; break;
        case 5: if (any && random(3) === 0) { any.frozen = true; setTimeout(() => (any.frozen = false), random(15_000)); } break;
        default: hub.happens(`${seed}.${step}`);
      }
      await pass(random(60));
    }
    every.push(browser.opens());
    await pass(30_000);
    hub.happens(`${seed}.last`);
    await pass(2000);
    for (const t of browser.tabs) {
      expect(t.failed, `seed ${seed}`).toEqual([]);
      expect(t.link.state, `seed ${seed}`).toBe("live");
      expect(t.seen.filter((x) => hub.feed.includes(x)), `seed ${seed}`).toEqual(hub.feed);
      expect(new Set(t.heard).size, `seed ${seed}`).toBe(t.heard.length);
    }
    expect(hub.readers.size, `seed ${seed}`).toBe(1);
    for (const t of [...browser.tabs]) t.closes();
    await pass(1000);
  }
});
