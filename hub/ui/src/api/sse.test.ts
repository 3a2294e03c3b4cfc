import { describe, expect, it } from "vitest";
import { EventParser } from "./sse";

describe("EventParser", () => {
  it("reads events with names and IDs, and passes comments over", () => {
    const p = new EventParser();
    expect(p.push(": welcome\nretry: 2000\n\nid: 7\nevent: incident\ndata: {\"a\":1}\n\n")).toEqual([{ id: "7", name: "incident", data: '{"a":1}' }]);
  });
  it("takes an ID from an event without data, as the hub's greeting has it", () => {
    const p = new EventParser();
    expect(p.push(": welcome\nid: 41\n\n")).toEqual([]);
    expect(p.lastId).toBe("41");
  });
  it("does not care where the pieces are cut", () => {
    const text = "id: 1\r\nevent: a\r\ndata: x\r\ndata: y\r\n\r\nid: 2\rdata: z\r\rdata:\n\n";
    const whole = new EventParser().push(text);
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
    expect(p.push("data: half")).toEqual([]);
    expect(p.push(" done\n")).toEqual([]);
    expect(p.push("\n")).toEqual([{ id: "9", name: "message", data: "half done" }]);
  });
});
