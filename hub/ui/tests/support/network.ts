// A browser and an edge in networks of their own. The browser is behind a router that can drop what it forwards, as a
// desk behind a firewall, and that can translate addresses; the edge is behind a router that always does, as a site on
// a mobile line. Linux only, by root: network namespaces, and nftables for the translation.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findBrowser, programs } from "./programs";

/** What the router lets through, besides answers. */
export interface Firewall {
  udp: boolean;
  ports?: number[]; // of TCP; all unless given
}

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });
}
const ip = (...args: string[]) => run("ip", ...args);

/**
 * Translation of addresses and ports as in the strictest routers: each connection gets a port at random, so that the port
 * which one peer has seen is of no use to another one (an address- and port-dependent mapping, RFC 4787 section 4.1),
 * and nothing comes in that was not asked for. The counters have the connections that were translated.
 */
const nat = `
  add table ip gp-nat
  add chain ip gp-nat out { type nat hook postrouting priority srcnat; }
  add rule ip gp-nat out oifname "outer" meta l4proto udp counter masquerade fully-random
  add rule ip gp-nat out oifname "outer" meta l4proto tcp counter masquerade fully-random
  add chain ip gp-nat through { type filter hook forward priority filter; }
  add rule ip gp-nat through iifname "outer" ct state new drop
`;

/** A network with one machine behind a router. Addresses are /30 networks: near, out are the ends of the outer link. */
class Behind {
  #nat = false;

  constructor(
    readonly router: string, readonly machine: string, readonly link: string, readonly inner: string,
    readonly at: { near: string; out: string; inside: string; machine: string },
  ) {}

  make(): void {
    ip("netns", "add", this.router);
    ip("netns", "add", this.machine);
    ip("link", "add", this.link, "type", "veth", "peer", "name", "outer", "netns", this.router);
    ip("link", "add", this.inner, "type", "veth", "peer", "name", this.inner, "netns", this.machine);
    ip("link", "set", "dev", this.inner, "netns", this.router, "name", "inner");
    ip("addr", "add", `${this.at.near}/30`, "dev", this.link);
    ip("link", "set", "dev", this.link, "up");
    ip("-n", this.router, "addr", "add", `${this.at.out}/30`, "dev", "outer");
    ip("-n", this.router, "addr", "add", `${this.at.inside}/30`, "dev", "inner");
    for (const l of ["lo", "outer", "inner"]) ip("-n", this.router, "link", "set", "dev", l, "up");
    ip("-n", this.router, "route", "add", "default", "via", this.at.near);
    ip("-n", this.machine, "addr", "add", `${this.at.machine}/30`, "dev", this.inner);
    for (const l of ["lo", this.inner]) ip("-n", this.machine, "link", "set", "dev", l, "up");
    ip("-n", this.machine, "route", "add", "default", "via", this.at.inside);
    this.#inside("sysctl", "-qw", "net.ipv4.ip_forward=1");
  }

  #inside(...command: string[]): string { return ip("netns", "exec", this.router, ...command); }

  translate(): void {
    if (this.#nat) return;
    this.#inside("nft", nat);
    this.#nat = true;
  }

  forward(): void {
    if (this.#nat) this.#inside("nft", "delete table ip gp-nat");
    this.#nat = false;
  }

  /** The connections that were translated. */
  translated(): { udp: number; tcp: number } {
    const text = this.#inside("nft", "list", "chain", "ip", "gp-nat", "out");
    const count = (protocol: string) => Number(new RegExp(`l4proto ${protocol} counter packets (\\d+)`).exec(text)?.[1] ?? Number.NaN);
    return { udp: count("udp"), tcp: count("tcp") };
  }

  /** A program that runs another one in the machine's network. */
  program(runs: string): string {
    const file = join(tmpdir(), `${this.machine}.sh`);
    writeFileSync(file, `#!/bin/sh\nexec ip netns exec ${this.machine} ${runs} "$@"\n`, { mode: 0o755 });
    return file;
  }

  end(): void {
    // The link goes first: with its namespace it would go some time later, and its name would be taken until then.
    for (const made of [["link", "del", this.link], ["netns", "del", this.machine], ["netns", "del", this.router]]) {
      try {
        ip(...made);
      } catch {
        /* it was never made */
      }
    }
  }
}

export class Network {
  /** the hub's address */
  readonly hub: string;
  readonly #desk: Behind;
  readonly #site: Behind;

  constructor() {
    const id = process.pid % 4000;
    const address = (last: number) => `10.${100 + (id >> 8)}.${id & 255}.${last}`;
    this.hub = address(1);
    this.#desk = new Behind(`gp-router-${process.pid}`, `gp-desk-${process.pid}`, `gp-a${id}`, `gp-b${id}`,
      { near: this.hub, out: address(2), inside: address(9), machine: address(10) });
    this.#site = new Behind(`gp-mobile-${process.pid}`, `gp-site-${process.pid}`, `gp-c${id}`, `gp-d${id}`,
      { near: address(17), out: address(18), inside: address(25), machine: address(26) });
    try {
      this.#desk.make();
      ip("route", "add", `${address(8)}/30`, "via", address(2));
      this.#site.make();
      this.#site.translate(); // nobody has a route to what is behind it
      this.nat(); // where it is impossible, that is known before the first test
      this.open();
    } catch (error) {
      this.end();
      throw error;
    }
  }

  /** Drops what the desk sends and the firewall does not let through. */
  shut(f: Firewall): void {
    this.open();
    const rule = (n: number, ...what: string[]) => ip("-n", this.#desk.router, "rule", "add", "pref", String(n), "iif", "inner", ...what);
    if (f.ports) {
      f.ports.forEach((port, i) => rule(100 + i, "ipproto", "tcp", "dport", String(port), "lookup", "main"));
      rule(200, "ipproto", "tcp", "blackhole");
    }
    if (!f.udp) rule(300, "ipproto", "udp", "blackhole");
  }

  /** Drops what the site sends over UDP, until open. */
  shutSite(): void { ip("-n", this.#site.router, "rule", "add", "pref", "300", "iif", "inner", "ipproto", "udp", "blackhole"); }

  /** The desk's router translates addresses, until open. */
  nat(): void { this.#desk.translate(); }

  /** The connections that the two routers have translated. */
  translated() { return { desk: this.#desk.translated(), site: this.#site.translated() }; }

  /** Lets all through again, from the desk with its own addresses. */
  open(): void {
    this.#desk.forward();
    for (const { router } of [this.#desk, this.#site]) {
      for (let more = true; more;) {
        try {
          ip("-n", router, "rule", "del", "iif", "inner");
        } catch {
          more = false; // none is left
        }
      }
    }
  }

  /** A program that runs the browser in the desk's network, and one that runs an edge in the site's. */
  browser(): string { return this.#desk.program(findBrowser()); }
  edge(): string { return this.#site.program(join(programs, "edge")); }

  end(): void {
    this.#desk.end();
    this.#site.end();
  }
}

/**
 * Why networks cannot be made here; null: they can. It needs root for namespaces, the program nft, and a kernel with
 * nftables and its NAT. Where all must be tested (CI), that is an error.
 */
export function impossible(): string | null {
  try {
    new Network().end();
    return null;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const why = process.getuid?.() === 0 ? `they need iproute2, nftables, and a kernel with its NAT: ${reason}` : `they need root, for network namespaces: ${reason}`;
    if (process.env["CI"]) throw new Error(`the network tests must not be left out in CI; ${why}`, { cause: error });
    return why;
  }
}
