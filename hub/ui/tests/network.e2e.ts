// The same camera from a desk behind ever tighter firewalls, and one behind NAT from a desk behind NAT: it plays each
// time, the way is the best that there is, and the tile says when it is not the usual one.
import { type AddressInfo, createServer } from "node:net";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { impossible, Network } from "./support/network";
import { openBrowser, Person } from "./support/people";
import { Stage, until } from "./support/stage";
import { languages } from "./support/words";

const why = impossible();
if (why) console.warn(`the network tests are left out: ${why}`);

/** A port that is free for UDP and TCP now. */
async function freePort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, host, done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

/** What the first tile shows, and over which candidates the page's peer connections have media. */
function look(page: Page) {
  return page.evaluate(async () => {
    const tile = document.querySelector<HTMLElement>("figure.tile")!;
    const video = tile.querySelector("video")!;
    let protocol = "";
    for (const line of (window as unknown as { lines: RTCPeerConnection[] }).lines) {
      if (line.connectionState !== "connected") continue;
      const stats = [...(await line.getStats() as unknown as Map<string, Record<string, unknown>>).values()];
      const pair = stats.find((s) => s["type"] === "candidate-pair" && s["nominated"] && s["state"] === "succeeded");
      const local = stats.find((s) => s["id"] === pair?.["localCandidateId"]);
      if (local) protocol = `${String(local["candidateType"]) === "relay" ? `relay ${String(local["relayProtocol"])}` : String(local["protocol"])}`;
    }
    return {
      state: tile.dataset["state"]!, frames: video.getVideoPlaybackQuality().totalVideoFrames, protocol,
      way: tile.querySelector("[data-way]")?.textContent ?? "", reason: tile.querySelector("[data-way]")?.getAttribute("title") ?? "", text: tile.textContent ?? "",
    };
  });
}

describe.skipIf(why !== null)("a desk behind a firewall", () => {
  let network: Network;
  let stage: Stage;
  let browser: Browser;
  let turn: number; // port of the hub's TURN server
  beforeAll(async () => {
    network = new Network();
    turn = await freePort(network.hub);
    stage = await Stage.start({ host: network.hub, config: `turn: {listen: "${network.hub}:${turn}"}\n` });
    browser = await openBrowser(network.browser(), network.hub);
    await stage.user("li.wei", "dispatcher");
    await stage.site({ name: "liuxi", cameras: { market: [] } });
    await stage.site({ name: "beiqiao", cameras: { bridge: [] }, program: network.edge(), host: network.hub });
  });
  afterAll(async () => {
    await browser?.close();
    await stage?.end();
    network?.end();
  });

  async function plays(language: (typeof languages)[number], wanted: (seen: Awaited<ReturnType<typeof look>>) => boolean, camera = "liuxi/market") {
    const p = await Person.sits(browser, stage.url, { language });
    try {
      await p.context.addInitScript(() => {
        const lines: RTCPeerConnection[] = [];
        (window as unknown as { lines: RTCPeerConnection[] }).lines = lines;
        const Line = window.RTCPeerConnection;
        window.RTCPeerConnection = class extends Line {
          constructor(c?: RTCConfiguration) {
            super(c);
            lines.push(this);
          }
        };
      });
      await p.signIn("li.wei", `/wall?cams=${camera}`);
      const first = await until("a picture", async () => {
        const seen = await look(p.page);
        return seen.state === "live" && seen.frames >= 10 && wanted(seen) ? seen : Promise.reject(new Error(JSON.stringify(seen)));
      }, 60_000);
      await until("more pictures", async () => (await look(p.page)).frames >= first.frames + 25, 30_000);
      p.check();
      return { p, first };
    } finally {
      await p.leaves();
    }
  }

  it("plays over UDP", async () => {
    network.open();
    await plays("en", (s) => s.protocol === "udp" && s.way === "");
  });
  it("plays over TCP where UDP is shut", async () => {
    network.shut({ udp: false });
    await plays("en", (s) => s.protocol === "tcp" && s.way === "");
  });
  it.each([["UDP", true], ["TCP, where UDP is shut for the desk", false]] as const)("plays over %s where the desk and the edge are both behind NAT", async (_, udp) => {
    network.shut({ udp });
    network.nat();
    const before = network.translated();
    await plays("en", (s) => s.protocol === (udp ? "udp" : "tcp") && s.way === "", "beiqiao/bridge");
    const after = network.translated();
    expect(after.site.udp).toBeGreaterThan(0); // the publication, which may go on from the view before
    if (udp) expect(after.desk.udp).toBeGreaterThan(before.desk.udp); // the view
    expect(after.desk.tcp).toBeGreaterThan(before.desk.tcp);
  });
  it("plays where UDP is shut for the edge: it publishes over TCP", async () => {
    network.open();
    network.nat();
    network.shutSite();
    const { udp } = network.translated().site;
    await plays("en", (s) => s.protocol === "udp" && s.way === "", "beiqiao/bridge");
    expect(network.translated().site.udp).toBe(udp);
  });
  it("plays through the hub's TURN server where only that and the console are open, and says why", async () => {
    network.shut({ udp: false, ports: [Number(new URL(stage.url).port), turn] });
    const { p, first } = await plays("en", (s) => s.way !== "");
    expect(first.protocol).toBe("relay tcp");
    expect(first.reason).toContain(p.say("video.cause.line.never"));
  });
  it.each(languages)("plays over HTTP where only the console's port is open, and says why, in %s", async (language) => {
    network.shut({ udp: false, ports: [Number(new URL(stage.url).port)] });
    const { p, first } = await plays(language, (s) => s.way !== "");
    expect(first.protocol).toBe("");
    expect(first.reason).toContain(p.say("video.cause.line.never"));
    const { views } = await stage.api<{ views: { who: string; device: string; ended_at: string | null }[] }>("/views");
    expect(views.some((v) => v.who === "li.wei" && v.device === "market")).toBe(true);
  });
});
