// Svelte drops blanks at the beginning and the end of an element or a block. A blank that separates two sentences
// and stands there is never seen: it is written {" "}.
import { parse } from "svelte/compiler";
import { expect, it } from "vitest";

const sources = import.meta.glob<string>("../**/*.svelte", { query: "?raw", import: "default", eager: true });

interface Node { type?: string; data?: string; start?: number; nodes?: Node[] }

/** Lines with a blank that is dropped. A line break beside it is layout. */
function dropped(source: string): number[] {
  const found: number[] = [];
  const walk = (value: unknown): void => {
    if (Array.isArray(value)) return value.forEach(walk);
    if (typeof value !== "object" || value === null) return;
    const node = value as Node;
    if (node.type === "Fragment") {
      const [first, last] = [node.nodes?.[0], node.nodes?.at(-1)];
      const blank = (n: Node | undefined) => first !== last && n?.type === "Text" && /^ +$/.test(n.data!);
      const begins = blank(first) || (first?.type === "Text" && /^ +\S/.test(first.data!));
      const ends = blank(last) || (last?.type === "Text" && /\S +$/.test(last.data!));
      if (begins || ends) found.push(source.slice(0, (begins ? first : last)!.start).split("\n").length);
    }
    Object.values(node).forEach(walk);
  };
  walk(parse(source, { modern: true }).fragment);
  return found;
}

it("sees blanks that are dropped", () => {
  expect(dropped("<p>{a}<span> {b}</span></p>")).toEqual([1]);
  expect(dropped("<p>{#if a}{b} {/if}{c}</p>")).toEqual([1]);
  expect(dropped('<p>\n  {a} <span>{b}</span>{#if c}{" "}{d}{/if}\n</p>')).toEqual([]);
});

it("none stands in a component", () => {
  const all = Object.entries(sources);
  expect(all.length).toBeGreaterThan(60);
  expect(all.flatMap(([file, source]) => dropped(source).map((line) => `${file}:${line}`))).toEqual([]);
}, 60_000); // it parses every component
