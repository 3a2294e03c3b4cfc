import { defineConfig } from "vitest/config";

// The console in a browser, before a real hub. `make console-test` and `make screenshots` run this;
// tests/support/programs.ts says which programs it takes. One file after the other: each has its
// own hub and its own browser, and two cores are enough for one.
export default defineConfig({
  test: {
    include: [process.env["GRIDPOST_SCREENSHOTS"] ? "tests/screenshots.ts" : "tests/*.e2e.ts"],
    globalSetup: ["tests/support/programs.ts"],
    environment: "node",
    pool: "forks",
    fileParallelism: false,
    maxWorkers: 1,
    sequence: { concurrent: false, shuffle: false },
    testTimeout: 120_000,
    hookTimeout: 180_000,
    teardownTimeout: 60_000,
  },
});
