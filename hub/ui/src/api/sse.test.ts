import { describe, expect, it } from "vitest";
import { EventParser, type ServerEvent } from "./sse";

/** All events of a text, each handled at once. */
const all = (p: EventParser, text: string): ServerEvent[] => [...p.push(text)];

/** Numbers that look random and are the same in each run (mulberry32). */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

describe("EventParser", () => {
  it("reads events with names and IDs, and passes comments over", () => {
    const p = new EventParser();
    expect(all(p, ": welcome\nretry: 2000\n\nid: 7\nevent: incident\ndata: {\"a\":1}\n\n")).toEqual([{ id: "7", name: "incident", data: '{"a":1}' }]);
  });
  it("takes an ID from an event without data", () => {
    const p = new EventParser();
    expect(all(p, ": welcome\nid: 41\n\n")).toEqual([]);
    expect(p.lastId).toBe("41");
  });
  it("does not care where the pieces are cut", () => {
    const text = "id: 1\r\nevent: a\r\ndata: x\r\ndata: y\r\n\r\nid: 2\rdata: z\r\rdata:\n\n";
    const whole = all(new EventParser(), text);
    for (let size = 1; size < text.length; size += 1) {
      const p = new EventParser();
      const events = [];
      for (let i = 0; i < text.length; i += size) events.push(...p.push(text.slice(i, i + size)));
      expect(events, `pieces of ${size}`).toEqual(whole);
    }
    expect(whole.map((e) => [e.id, e.name, e.data])).toEqual([["1", "a", "x\ny"], ["2", "message", "z"], ["2", "message", ""]]);
  });
  it("keeps what has not ended", () => {
    const p = new EventParser("9");
    expect(all(p, "data: half")).toEqual([]);
    expect(all(p, " done\n")).toEqual([]);
    expect(all(p, "\n")).toEqual([{ id: "9", name: "message", data: "half done" }]);
  });
  it("commits an ID when its event has been handled, and not before", () => {
    const p = new EventParser("1");
    all(p, "id: 2\nevent: a\ndata: x\n");
    expect(p.lastId).toBe("1"); // a break here loses nothing
    const seen: string[] = [];
    for (const e of p.push("\nid: 3\ndata: y\n\nid: 4\n")) seen.push(`${e.id} after ${p.lastId}`);
    expect(seen).toEqual(["2 after 1", "3 after 2"]);
    expect(p.lastId).toBe("3");
  });
  it("loses and repeats nothing, wherever it is cut, broken off and taken up again", () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const next = random(seed);
      const last = 1 + Math.floor(next() * 12);
      const end = ["\n", "\r\n", "\r"][Math.floor(next() * 3)]!;
      const event = (n: number) => [`id: ${n}`, "event: incident", ...(next() < 0.3 ? [": comment"] : []), `data: {"n":${n}}`, "", ""].join(end);
      const handled: number[] = [];
      let position = "0";
      let streams = 0;
      while (Number(position) < last) {
        if ((streams += 1) > 500) throw new Error(`seed ${seed}: no end`);
        const p = new EventParser(position);
        let text = "";
        for (let n = Number(position) + 1; n <= last; n += 1) text += event(n);
        // A CR at the very end waits for the LF that may come: the hub's next keep-alive ends it.
        text += `: alive${end}${end} `;
        if (next() < 0.7) text = text.slice(0, Math.floor(next() * text.length)); // the line breaks here
        let stop = next() < 0.3 ? Math.floor(next() * 4) : Infinity; // or while an event is handled
        reading: for (let at = 0; at < text.length; ) {
          const size = 1 + Math.floor(next() * 40);
          for (const e of p.push(text.slice(at, at + size))) {
            if ((stop -= 1) < 0) break reading;
            handled.push(JSON.parse(e.data).n);
          }
          at += size;
        }
        position = p.lastId;
      }
      expect(handled, `seed ${seed}`).toEqual(Array.from({ length: last }, (_, i) => i + 1));
    }
  });
});
