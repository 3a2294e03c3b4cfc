// Effects subscribe and put what is known before the eyes; they start no input or output. Whatever an effect
// reads starts it again, so that a request in one repeats itself for ever. This test reads the sources: an effect
// may call only what stands here, functions of its own file being looked into. Fetching belongs to events, to
// onMount and to state/keyed.svelte.ts.
import ts from "typescript";
import { describe, expect, it } from "vitest";

const sources = import.meta.glob<string>(["../**/*.svelte", "../**/*.ts", "!../**/*.test.ts", "!../**/*.d.ts"], { query: "?raw", import: "default", eager: true });
const keyed = "./keyed.svelte.ts"; // the one place where a value that changes starts a fetch

/** Methods of the language and of the page, on whatever they are called. None of them fetches. */
const builtIn = new Set([
  "abs", "filter", "flatMap", "map", "max", "min", "reduce", "round", "slice", "some", "trim",
  "beginPath", "close", "contains", "focus", "getPropertyValue", "lineTo", "moveTo", "querySelector", "restore", "save", "setAttribute", "setLineDash", "showModal", "stroke",
]);
/** What an effect may call besides. Whoever adds something here has seen that it asks nobody. */
const allowed = new Set([
  "$state.snapshot", "Number", "clearTimeout", "getComputedStyle", "setTimeout", "tick", "tick().then", "untrack", // Svelte and the page
  "announce", "clock.exact", "commands.add", "deviceKey", "incidents.get", "mutes.hides", "page.focus", "page.name", "router.navigate", "router.query.get", "session.may", "t", // what is known here
  "fmt.marks", "fmt.minute", "fmt.shortDay",
  "Plot", "axisWidth", "chart.setData", "chart.setSize", "code.value.Plot", "made.destroy", "plot.set", "plot.size", "u.valToPos", // charts
  "engine.fit", "engine.restyle", "engine.setDevices", "engine.setIncidents", "engine.setInset", "engine.setMarks", "map.show", "parseView", "untrack(()=>engine).jump", // the map
  "arrange", "headsOf", "hold", "ranksOf", "reachedGroup", "whoHas", "words.want", // made of what is known
  "keep", // the draft of a report, in this browser
  "onhold", "again", "selection.clear", // set a state of the component above
  "previews.show", // subscribes; its timer fetches
]);

interface Finding { file: string; line: number; what: string }

/** Everything that effects of a file do and may not. */
export function findings(file: string, source: string): Finding[] {
  if (!source.includes("$effect")) return [];
  const code = file.endsWith(".svelte") ? scripts(source) : source;
  const tree = ts.createSourceFile(file, code, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);
  const functions = new Map<string, ts.Node>();
  const collect = (n: ts.Node): void => {
    if (ts.isFunctionDeclaration(n) && n.name && n.body) functions.set(n.name.text, n.body);
    if (ts.isVariableDeclaration(n) && ts.isIdentifier(n.name) && n.initializer && (ts.isArrowFunction(n.initializer) || ts.isFunctionExpression(n.initializer))) functions.set(n.name.text, n.initializer.body);
    ts.forEachChild(n, collect);
  };
  collect(tree);
  const found: Finding[] = [];
  const effect = (n: ts.Node, seen: Set<string>): void => {
    const report = (what: string) => found.push({ file, line: tree.getLineAndCharacterOfPosition(n.getStart()).line + 1, what });
    if (ts.isAwaitExpression(n)) report("await");
    if ((ts.isArrowFunction(n) || ts.isFunctionExpression(n)) && n.modifiers?.some((m) => m.kind === ts.SyntaxKind.AsyncKeyword)) report("async");
    if (ts.isCallExpression(n) || ts.isNewExpression(n)) {
      const callee = n.expression.getText().replace(/[?!]/g, "").replace(/\s+/g, "");
      const own = functions.get(callee);
      if (own) {
        if (!seen.has(callee)) effect(own, new Set([...seen, callee]));
      } else if (!allowed.has(callee) && !(callee.includes(".") && builtIn.has(callee.split(".").at(-1)!))) report(callee);
    }
    ts.forEachChild(n, (child) => effect(child, seen));
  };
  const walk = (n: ts.Node): void => {
    if (ts.isCallExpression(n) && /^\$effect(\.pre)?$/.test(n.expression.getText())) for (const a of n.arguments) effect(a, new Set());
    else ts.forEachChild(n, walk);
  };
  walk(tree);
  return found;
}

/** The scripts of a component, on the lines where they stand. */
function scripts(source: string): string {
  const blank = (text: string) => text.replace(/[^\n]/g, " ");
  let out = "";
  let at = 0;
  for (const m of source.matchAll(/(<script[^>]*>)([\s\S]*?)<\/script>/g)) {
    out += blank(source.slice(at, m.index) + m[1]!) + m[2]!;
    at = m.index + m[1]!.length + m[2]!.length;
  }
  return out;
}

describe("effects", () => {
  it.each([
    ["a fetch", "$effect(() => { void api.get(path); });"],
    ["one in a function of the file", "async function more() { await incidents.fetchPage(q); }\n$effect(() => void more());"],
    ["one in an arrow of the file", "const ask = () => list().then(show);\n$effect.pre(() => ask());"],
    ["a callback that may fetch", "$effect(() => { if (near) onend?.(); });"],
    ["an async function", "$effect(() => { (async () => 1)(); });"],
    ["code that is loaded", '$effect(() => { void import("./plot"); });'],
  ])("are seen with %s in them", (_, code) => {
    expect(findings("x.ts", code)).not.toEqual([]);
    expect(findings("X.svelte", `<script lang="ts">\n${code}\n</script>\n<p>{api.get()}</p>`)).not.toEqual([]);
  });

  it("may subscribe and compute", () => {
    expect(findings("x.ts", "const size = () => all.map(Number);\n$effect(() => { page.name(t(key)); size(); return () => clearTimeout(timer); });")).toEqual([]);
  });

  it("start no input or output", { timeout: 60_000 }, () => {
    const files = Object.entries(sources);
    expect(files.length).toBeGreaterThan(100);
    expect(files.map(([name]) => name)).toContain(keyed);
    const all = files.filter(([name]) => name !== keyed).flatMap(([name, source]) => findings(name, source));
    expect(all.map((f) => `${f.file}:${f.line} calls ${f.what}`)).toEqual([]);
  });
});
