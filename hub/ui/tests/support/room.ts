// A control room for a file of tests: one hub, one browser, and people who come for one test each.
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll } from "vitest";
import { type Look, openBrowser, Person } from "./people";
import { root } from "./programs";
import { Stage } from "./stage";

export interface Room {
  stage: Stage;
  browser: Browser;
  /** Somebody new sits down; at the end of the test nothing may have gone wrong before them. */
  sits: (look?: Look) => Promise<Person>;
}

export function room(o: { town?: boolean; config?: string }, furnish: (stage: Stage) => Promise<void>): Room {
  const present: Person[] = [];
  const r = {
    sits: async (look: Look = {}) => {
      const p = await Person.sits(r.browser, r.stage.url, look);
      present.push(p);
      return p;
    },
  } as Room;
  beforeAll(async () => {
    [r.stage, r.browser] = await Promise.all([Stage.start(o), openBrowser()]);
    await furnish(r.stage);
  });
  afterEach(async ({ task }) => {
    const all = present.splice(0);
    try {
      // What it looked like when it failed: .cache/failures.
      if (task.result?.state === "fail") {
        const name = task.name.replace(/\W+/g, "-").slice(0, 60);
        for (const [n, p] of all.entries()) await p.page.screenshot({ path: join(root, ".cache", "failures", `${name}-${p.language}-${n}.png`) }).catch(() => {});
      }
      for (const p of all) p.check();
    } finally {
      for (const p of all) await p.leaves();
    }
  });
  afterAll(async () => {
    await r.browser?.close();
    await r.stage?.end();
  });
  return r;
}
