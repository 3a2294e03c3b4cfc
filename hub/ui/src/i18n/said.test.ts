// Every sentence that the Go code can put before a person has words in both languages. What it says is in
// testdata/said.json, which TestSaid (hub/ui/said_test.go) holds to the code.
import { beforeEach, describe, expect, it } from "vitest";
import said from "../../testdata/said.json";
import { ApiError } from "../api/client";
import { prefs } from "../state/prefs.svelte";
import { causeOfWords } from "../video/causes";
import { causeWords } from "../video/words";
import { deliveryCause, endedWhy } from "../views/admin/words";
import { errorText } from "./words";

type Reader = (text: string) => string;
const readers: Record<keyof typeof said, Reader[]> = {
  view: [(text) => causeWords(causeOfWords(text))],
  end: [(text) => causeWords(causeOfWords(text)), endedWhy],
  delivery: [deliveryCause],
  answer: [(text) => errorText(new ApiError(422, "", text))],
};

/** Words of English in a Chinese sentence, but for names, addresses and what others said. */
const english = /\b(?:the|is|are|was|were|has|have|not|no|with|within|because|cannot|its|this|that|to|of|edge)\b/i;
/** A span as Go writes it. */
const raw = /\b\d+(?:h\d+m|m)\d+s\b|\b\d+(?:\.\d+)?m?s\b/;

const samples = Object.entries(said).flatMap(([where, files]) =>
  Object.values(files as Record<string, Record<string, string>>).flatMap((all) => Object.values(all)).filter(Boolean).flatMap((text) => readers[where as keyof typeof said].map((read) => ({ where, text, read }))));

beforeEach(() => void (prefs.language = "zh-CN"));

describe.each(samples)("$where: $text", ({ text, read }) => {
  it("has words in Chinese", () => {
    const words = read(text);
    expect(words).toMatch(/\p{Script=Han}/u);
    // What the camera, the receiver or the system says is quoted, behind a colon or in brackets.
    expect(words.replace(/[：（].*$/s, ""), words).not.toMatch(english);
    expect(words, words).not.toMatch(raw);
  });
  it("has words in English", () => {
    prefs.language = "en";
    const words = read(text);
    expect(words).not.toBe("");
    expect(words, words).not.toMatch(raw);
    expect(words, words).not.toMatch(/\bedge\b|[{}]/); // people know it as a box
  });
});
