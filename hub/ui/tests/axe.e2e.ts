// axe over every view, in either language and theme: it finds nothing; and no view jumps as it fills.
import { describe, expect, it } from "vitest";
import { faults } from "./support/axe";
import { openEach } from "./support/opened";
import type { Person } from "./support/people";
import { room } from "./support/room";
import { type Scene, setScene } from "./support/scene";
import { settle } from "./support/settle";
import { calm, shifts, watchShifts } from "./support/shifts";

let scene: Scene;
const hall = room({ town: true }, async (stage) => {
  scene = await setScene(stage);
});

describe.each([{ language: "en", theme: "light" }, { language: "zh-CN", theme: "dark" }] as const)("$language, $theme", ({ language, theme }) => {
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
