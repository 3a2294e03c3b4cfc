// A browser in a network of its own, behind a router that can drop what it forwards: as a desk behind a firewall.
// Linux only, by root: network namespaces.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findBrowser } from "./programs";

/** What the router lets through, besides answers. */
export interface Firewall {
  udp: boolean;
  ports?: number[]; // of TCP; all unless given
}

function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] });
}

export class Network {
  /** the hub's address, and the browser's */
  readonly hub: string;
  readonly desk: string;
  readonly #id = process.pid % 4000;
  readonly #router = `gp-router-${process.pid}`;
  readonly #desk = `gp-desk-${process.pid}`;

  constructor() {
    const [a, b] = [100 + (this.#id >> 8), this.#id & 255];
    this.hub = `10.${a}.${b}.1`;
    this.desk = `10.${a}.${b}.10`;
    const outside = `10.${a}.${b}.2`;
    const inside = `10.${a}.${b}.9`;
    const [up, down] = [`gp-a${this.#id}`, `gp-b${this.#id}`];
    try {
      ip("netns", "add", this.#router);
      ip("netns", "add", this.#desk);
      ip("link", "add", up, "type", "veth", "peer", "name", "outer", "netns", this.#router);
      ip("link", "add", down, "type", "veth", "peer", "name", down, "netns", this.#desk);
      ip("link", "set", "dev", down, "netns", this.#router, "name", "inner");
      ip("addr", "add", `${this.hub}/30`, "dev", up);
      ip("link", "set", "dev", up, "up");
      ip("-n", this.#router, "addr", "add", `${outside}/30`, "dev", "outer");
      ip("-n", this.#router, "addr", "add", `${inside}/30`, "dev", "inner");
      for (const l of ["lo", "outer", "inner"]) ip("-n", this.#router, "link", "set", "dev", l, "up");
      ip("-n", this.#desk, "addr", "add", `${this.desk}/30`, "dev", down);
      for (const l of ["lo", down]) ip("-n", this.#desk, "link", "set", "dev", l, "up");
      ip("-n", this.#desk, "route", "add", "default", "via", inside);
      ip("route", "add", `10.${a}.${b}.8/30`, "via", outside);
      this.#inside(this.#router, "sysctl", "-qw", "net.ipv4.ip_forward=1");
    } catch (error) {
      this.end();
      throw error;
    }
  }

  #inside(name: string, ...command: string[]): void {
    execFileSync("ip", ["netns", "exec", name, ...command], { stdio: ["ignore", "ignore", "pipe"] });
  }

  /** Drops what the desk sends and the firewall does not let through. */
  shut(f: Firewall): void {
    this.open();
    const rule = (n: number, ...what: string[]) => ip("-n", this.#router, "rule", "add", "pref", String(n), "iif", "inner", ...what);
    if (f.ports) {
      f.ports.forEach((port, i) => rule(100 + i, "ipproto", "tcp", "dport", String(port), "lookup", "main"));
      rule(200, "ipproto", "tcp", "blackhole");
    }
    if (!f.udp) rule(300, "ipproto", "udp", "blackhole");
  }

  /** Lets all through again. */
  open(): void {
    for (let more = true; more;) {
      try {
        ip("-n", this.#router, "rule", "del", "iif", "inner");
      } catch {
        more = false; // none is left
      }
    }
  }

  /** A program that runs the browser in the desk's network. */
  browser(): string {
    const file = join(tmpdir(), `${this.#desk}.sh`);
    writeFileSync(file, `#!/bin/sh\nexec ip netns exec ${this.#desk} ${findBrowser()} "$@"\n`, { mode: 0o755 });
    return file;
  }

  end(): void {
    // The link goes first: with its namespace it would go some time later, and its name would be taken until then.
    for (const made of [["link", "del", `gp-a${this.#id}`], ["netns", "del", this.#desk], ["netns", "del", this.#router]]) {
      try {
        ip(...made);
      } catch {
        /* it was never made */
      }
    }
  }
}

/** Why networks cannot be made here; null: they can. */
export function impossible(): string | null {
  try {
    new Network().end();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
