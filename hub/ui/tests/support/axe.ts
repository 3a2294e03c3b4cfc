// What axe finds on a page as it stands.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import type { Person } from "./people";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe finds, as lines that say where and why. */
export async function faults(p: Person): Promise<string[]> {
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
