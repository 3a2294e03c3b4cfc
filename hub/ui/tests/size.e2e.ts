// What a browser has to fetch before it shows the desk, and how strictly the hub serves it.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { room } from "./support/room";

const dist = join(import.meta.dirname, "../dist");
const budget = 600 * 1024; // bytes, compressed, of all script without the map

describe("script", () => {
  it("is within its budget, the map aside", () => {
    const sizes = readdirSync(dist, { recursive: true, encoding: "utf8" })
      .filter((name) => /\.m?js$/.test(name))
      .map((name) => ({ name, text: readFileSync(join(dist, name)) }))
      .map(({ name, text }) => ({ name, bytes: gzipSync(text).length, map: /maplibre|geojson-vt/i.test(text.toString()) && text.length > 100_000 }));
    const rest = sizes.filter((s) => !s.map).reduce((n, s) => n + s.bytes, 0);
    console.log(JSON.stringify({ figure: "script_gzip_bytes", without_map: rest, map: sizes.filter((s) => s.map).reduce((n, s) => n + s.bytes, 0) }));
    expect(sizes.length).toBeGreaterThan(0);
    expect(rest).toBeLessThan(budget);
  });
});

describe("the hub", () => {
  const hall = room({}, async (stage) => void (await stage.user("boss", "administrator")));

  it("serves the console under a policy without inline script and eval", async () => {
    for (const path of ["/", "/incidents", "/map?at=30.92,120.93,15", "/admin/users"]) {
      const answer = await fetch(hall.stage.url + path, { headers: { Accept: "text/html" } });
      expect(answer.status).toBe(200);
      const policy = answer.headers.get("content-security-policy") ?? "";
      expect(policy).toMatch(/default-src 'none'/);
      expect(policy).toMatch(/script-src 'self'(;|$)/);
      expect(policy).not.toMatch(/unsafe|\*|https?:/);
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    }
  });

  it("lets the policy catch what it forbids, and the tests notice it", async () => {
    const p = await hall.sits();
    await p.go("/");
    await p.page.waitForSelector("#login-user");
    await p.page.evaluate(() => {
      const s = document.createElement("script");
      s.textContent = "window.broken = true";
      document.body.append(s);
      new Image().src = "http://outside.invalid/pixel.png";
    });
    await p.page.waitForTimeout(300);
    expect(await p.page.evaluate(() => "broken" in window)).toBe(false);
    expect(p.complaints.some((c) => c.startsWith("policy broken: script-src"))).toBe(true);
    expect(() => p.check()).toThrow(/policy broken|asked outside/);
    p.complaints.length = p.outside.length = 0; // they were meant
  });
});
