import { defineConfig } from "vitest/config";

// The console in a browser, before a real hub. `make console-test` and `make screenshots` run this;
// tests/support/programs.ts says which programs it takes. Each file has its own hub and its own browser. Two files run
// side by side, but those in which video plays, or that count what a page does in a time, run alone.
const alone = ["clip", "desk", "idle", "network", "size", "speed", "truth", "video"].map((name) => `tests/${name}.e2e.ts`);

export default defineConfig({
  test: {
    globalSetup: ["tests/support/programs.ts"],
    environment: "node",
    pool: "forks",
    sequence: { concurrent: false, shuffle: false },
    testTimeout: 120_000,
    hookTimeout: 180_000,
    teardownTimeout: 60_000,
    projects: process.env["GRIDPOST_SCREENSHOTS"]
      ? [{ extends: true, test: { name: "screenshots", include: ["tests/screenshots.ts"] } }]
      : [
        { extends: true, test: { name: "two", include: ["tests/*.e2e.ts"], exclude: alone, maxWorkers: 2, sequence: { groupOrder: 0 } } },
        { extends: true, test: { name: "alone", include: alone, maxWorkers: 1, fileParallelism: false, sequence: { groupOrder: 1 } } },
      ],
  },
});
