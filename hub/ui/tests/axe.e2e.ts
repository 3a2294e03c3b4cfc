// axe over every view, in either language and theme: it finds nothing; and no view jumps as it fills.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import { describe, expect, it } from "vitest";
import { openEach } from "./support/opened";
import type { Person } from "./support/people";
import { room } from "./support/room";
import { type Scene, setScene } from "./support/scene";
import { settle } from "./support/settle";
import { calm, shifts, watchShifts } from "./support/shifts";
import { languages } from "./support/words";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let scene: Scene;
const hall = room({ town: true }, async (stage) => {
  scene = await setScene(stage);
});

/** What axe finds, as lines that say where and why. */
async function faults(p: Person): Promise<string[]> {
  const devtools = await p.context.newCDPSession(p.page); // the page's policy forbids what a script element would do
  await devtools.send("Runtime.evaluate", { expression: axe });
  const { result, exceptionDetails } = await devtools.send("Runtime.evaluate", {
    expression: "axe.run(document, { resultTypes: ['violations'] }).then((r) => JSON.stringify(r.violations))", awaitPromise: true, returnByValue: true,
  });
  await devtools.detach();
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return (JSON.parse(result.value as string) as AxeResults["violations"]).flatMap((v) =>
    v.nodes.slice(0, 3).map((n) => `${v.id} at ${n.target.join(" ")}: ${n.failureSummary?.split("\n").slice(1).join(" ").trim()} | ${n.html.slice(0, 160)}`));
}

const themes = ["dark", "light"] as const;
describe.each(languages.flatMap((language) => themes.map((theme) => ({ language, theme }))))("$language, $theme", ({ language, theme }) => {
  it("has no violation on any view", { timeout: 400_000 }, async () => {
    const found: Record<string, string[]> = {};
    const note = async (view: string, p: Person) => {
      const lines = await faults(p);
      if (lines.length) (found[view] ??= []).push(...lines);
    };
    const p = await hall.sits({ language, theme });
    await p.go("/incidents");
    await p.page.waitForSelector("#login-user");
    await note("login", p);
    await p.signIn("boss");
    await watchShifts(p.page);
    for (const [name, path] of Object.entries(scene.views)) {
      await p.follow(path);
      await settle(p.page, p.say, name === "wall" ? 3 : 0);
      const moved = await shifts(p.page);
      if (moved.score >= calm) (found[name] ??= []).push(`moved by itself: ${moved.what}`);
      await note(name, p);
    }
    await openEach(p, scene, (name) => note(name, p));
    expect(found).toEqual({});
  });

  it("has none before a monitor, who may not see all of it", async () => {
    const p = await (await hall.sits({ language, theme })).signIn("guest", scene.views["incident"]!);
    await settle(p.page, p.say);
    expect(await faults(p)).toEqual([]);
    await p.follow("/admin/users");
    await settle(p.page, p.say);
    expect(await faults(p)).toEqual([]);
  });
});
