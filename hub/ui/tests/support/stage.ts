// A hub of its own for a file of tests, with the edges, cameras and sensors that they need, set up by
// edge/e2e/testbed through the interfaces that operators and edges have.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { footage, programs, stageProgram, town } from "./programs";

export type Role = "monitor" | "dispatcher" | "administrator";
export type Place = { lat: number; lon: number; heading?: number; fov?: number; range?: number; height?: number };
export type Rule = Record<string, unknown>;
export type Title = { en?: string; zh?: string };

export interface SiteOrder {
  name: string;
  cameras?: Record<string, Rule[]>;
  sensors?: Record<string, Rule[]>;
  places?: Record<string, Place>;
  clips?: Record<string, string | number>; // section of the document
  program?: string; // runs the edge, as in a network of its own
  host?: string; // IP address where the cameras are served, 127.0.0.1 unless given
}

/** An incident as an edge tells it; what is left out is made up. */
export interface Told {
  id?: string;
  device: string;
  rule: string;
  kind: string;
  severity: string;
  state?: "open" | "closed";
  opened_at?: string;
  closed_at?: string;
  version?: number;
  class?: string;
  value?: number;
  limit?: number;
  unit?: string;
}

/** A code of devices/causes.go, or the sentence alone, as edges of an older version say it. */
export type CauseOrder = { code: string; params?: Record<string, string>; text: string } | string;

export interface EdgeOrder {
  name: string;
  title?: Title;
  devices: { name: string; title?: Title; class?: string; kind: "camera" | "sensor"; unit?: string; place?: Place; rules?: Rule[] }[];
  states?: { device: string; state: string; cause: CauseOrder; since: string }[];
  readings?: { device: string; time: string; value: number; unit: string; quality: string }[];
  problems?: CauseOrder[];
  gaps?: { id: string; kind: "readings" | "alerts" | "evidence"; device?: string; from: string; to: string; count: number; reason: string }[];
}

/** Asks the hub's API; with a body by POST, if nothing else is said. */
export type Ask = <T>(path: string, o?: { method?: string; body?: unknown }) => Promise<T>;

/** A rule that a level above 2 meets and one below 1 ends. */
export const flood: Rule = { name: "flood", kind: "above", value: 2, clear: 1, severity: "severe" };
/** A rule that the people of the footage meet soon, and as long as there are any. */
export const people: Rule = { name: "square", kind: "zone", polygon: [[0.05, 0.1], [0.95, 0.1], [0.95, 0.95], [0.05, 0.95]], for: "1s", clear: "30m", severity: "moderate" };

/** Four cameras around the made-up town's square; all of them see its middle. */
export const square: Record<string, Place> = {
  market: { lat: 30.9201, lon: 120.9302, heading: 45, fov: 90, range: 80, height: 4 },
  bridge: { lat: 30.92055, lon: 120.93075, heading: 225, fov: 90, range: 80, height: 4 },
  school: { lat: 30.9206, lon: 120.93015, heading: 135, fov: 90, range: 80, height: 4 },
  station: { lat: 30.91995, lon: 120.9309, heading: 315, fov: 90, range: 80, height: 4 },
  river: { lat: 30.9203, lon: 120.9305 },
};

export const password = "correct horse battery";

export class Stage {
  url = "";
  token = "";
  #ask = 0;
  #waiting = new Map<number, { done: (result: unknown) => void; failed: (error: Error) => void }>();
  #ended: Promise<void>;

  private constructor(private readonly process: ChildProcessWithoutNullStreams, readonly folder: string) {
    createInterface({ input: process.stdout }).on("line", (line) => {
      const a = JSON.parse(line) as { id: number; result?: unknown; error?: string };
      const w = this.#waiting.get(a.id);
      this.#waiting.delete(a.id);
      if (a.error) w?.failed(new Error(`the stage: ${a.error}`));
      else w?.done(a.result);
    });
    let complaint = "";
    process.stderr.on("data", (text) => (complaint = `${complaint}${text}`.slice(-4000)));
    this.#ended = new Promise((done) => process.on("exit", (code) => {
      for (const w of this.#waiting.values()) w.failed(new Error(`the stage ended with ${code}: ${complaint}`));
      if (code) console.error(`the stage ended with ${code}: ${complaint}`);
      done();
    }));
  }

  /** host: the IP address where all is served, 127.0.0.1 unless given; config: of the hub, YAML. */
  static async start(o: { town?: boolean; host?: string; config?: string } = {}): Promise<Stage> {
    const folder = await mkdtemp(join(tmpdir(), "gridpost-console-"));
    const s = new Stage(spawn(stageProgram, ["-programs", programs, "-footage", footage, "-dir", folder]), folder);
    const at = (await s.order("start", { town: o.town ? town : "", host: o.host ?? "", config: o.config ?? "" })) as { url: string; token: string };
    s.url = at.url;
    s.token = at.token;
    return s;
  }

  order(what: string, o: object = {}): Promise<unknown> {
    const id = ++this.#ask;
    return new Promise((done, failed) => {
      this.#waiting.set(id, { done, failed });
      this.process.stdin.write(`${JSON.stringify({ id, do: what, ...o })}\n`);
    });
  }

  /** Adds somebody, with the password that all of them have. */
  async user(name: string, role: Role): Promise<string> {
    await this.order("user", { name, password, role });
    return name;
  }

  site(o: SiteOrder): Promise<unknown> { return this.order("site", o); }
  edge(o: EdgeOrder): Promise<unknown> { return this.order("edge", o); }
  say(site: string, sensor: string, value: number): Promise<unknown> { return this.order("publish", { site, sensor, value }); }
  camera(site: string, name: string, how: "playing" | "frozen" | "gone"): Promise<unknown> {
    return this.order("camera", { site, name, playing: how !== "gone", frozen: how === "frozen" });
  }
  crowd(o: { edges: number; devices: number; incidents: number; open: number }): Promise<unknown> { return this.order("bulk", o); }
  stopHub(): Promise<unknown> { return this.order("hub-stop"); }
  startHub(): Promise<unknown> { return this.order("hub-start"); }

  async tell(edge: string, incident: Told): Promise<string> {
    return ((await this.order("incident", { edge, incident })) as { incident: string }).incident;
  }

  /** Asks the hub with an administrator's token. */
  readonly api: Ask = (path, o) => this.#asks({ Authorization: `Bearer ${this.token}` }, path, o);

  /** Asks the hub as somebody, who is on record for it. */
  async as(name: string): Promise<Ask> {
    const answer = await fetch(`${this.url}/api/v1/session`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ user: name, password }) });
    if (!answer.ok) throw new Error(`${name} cannot sign in: ${answer.status}`);
    const cookie = answer.headers.getSetCookie().map((c) => c.split(";")[0]).join("; ");
    return (path, o) => this.#asks({ Cookie: cookie }, path, o);
  }

  async #asks<T>(who: Record<string, string>, path: string, o: { method?: string; body?: unknown } = {}): Promise<T> {
    const answer = await fetch(`${this.url}/api/v1${path}`, {
      method: o.method ?? (o.body === undefined ? "GET" : "POST"),
      headers: { ...who, ...(o.body !== undefined && { "Content-Type": "application/json" }) },
      ...(o.body !== undefined && { body: JSON.stringify(o.body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`the hub answered ${answer.status} to ${path}: ${text}`);
    return (text ? JSON.parse(text) : undefined) as T;
  }

  async end(): Promise<void> {
    this.process.stdin.end();
    await this.#ended;
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Looks until what it sees is true, and fails with the last thing it saw. */
export async function until<T>(what: string, look: () => Promise<T | undefined | false | null>, limit = 20_000): Promise<T> {
  const end = Date.now() + limit;
  let last: unknown;
  for (;;) {
    try {
      const seen = await look();
      if (seen) return seen;
      last = seen;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`waited ${limit} ms for ${what}: ${last instanceof Error ? last.message : JSON.stringify(last)}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}
