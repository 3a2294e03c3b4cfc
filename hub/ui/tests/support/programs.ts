// Where the programs are that the tests start. GRIDPOST_BIN names the folder of edge, hub and worker
// (bin at the root of the repository), GRIDPOST_FOOTAGE that of converted footage. The stage
// (edge/e2e/testbed) is built here, before the first test.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

export const root = resolve(import.meta.dirname, "../../../..");
export const programs = resolve(root, process.env["GRIDPOST_BIN"] ?? "bin");
export const footage = resolve(root, process.env["GRIDPOST_FOOTAGE"] ?? ".cache/footage");
export const stageProgram = join(root, ".cache", "testbed");
export const town = join(root, "hub/internal/demo/town/town.geojson");

/** A Chromium or Chrome: $CHROME, or one that is installed. */
export function findBrowser(): string {
  const named = process.env["CHROME"];
  if (named) return named;
  for (const folder of (process.env["PATH"] ?? "").split(":")) {
    for (const name of ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]) {
      const path = join(folder, name);
      if (existsSync(path)) return path;
    }
  }
  throw new Error("no Chromium was found: `make deps` installs Debian's package chromium, or CHROME=path names one");
}

export default function setup(): void {
  for (const name of ["edge", "hub", "worker"]) {
    if (!existsSync(join(programs, name))) throw new Error(`no program ${join(programs, name)}: \`make build\` makes it`);
  }
  findBrowser();
  execFileSync("go", ["build", "-trimpath", "-o", stageProgram, "./edge/e2e/testbed"], { cwd: root, stdio: "inherit" });
}
