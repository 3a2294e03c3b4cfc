import { flushSync } from "svelte";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Channel, Follower, Leader, pause } from "./follow.svelte";

/** Channels of one browser: what one posts all others get. */
function browser() {
  const all = new Set<Channel>();
  return {
    all,
    make: (): Channel => {
      const c: Channel = {
        onmessage: null, close: () => void all.delete(c),
        postMessage: (data) => { for (const other of all) if (other !== c) other.onmessage?.({ data: structuredClone(data) }); },
      };
      all.add(c);
      return c;
    },
  };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("a second window", () => {
  it("shows what was chosen before it was opened, and each choice after", () => {
    const b = browser();
    const leader = new Leader(b.make);
    leader.choose("i-1", true);
    const follower = new Follower(b.make);
    expect(follower.incident).toBe("i-1");
    leader.choose("i-2", true);
    flushSync();
    expect(follower.incident).toBe("i-2");
    leader.choose("", true); // nothing chosen: it stays with the last one
    expect(follower.incident).toBe("i-2");
    leader.close();
    follower.close();
    expect(b.all.size).toBe(0);
  });
  it("waits while somebody runs through the list", () => {
    const b = browser();
    const [leader, follower] = [new Leader(b.make), new Follower(b.make)];
    for (const id of ["a", "b", "c"]) {
      leader.choose(id, false);
      vi.advanceTimersByTime(pause - 1);
    }
    expect(follower.incident).toBe("");
    vi.advanceTimersByTime(1);
    expect(follower.incident).toBe("c");
    leader.choose("d", false);
    leader.close();
    vi.advanceTimersByTime(pause);
    expect(follower.incident).toBe("c");
  });
  it("follows the newest choice of several main windows, whoever answers first", () => {
    const b = browser();
    const [one, other] = [new Leader(b.make, () => 10), new Leader(b.make, () => 20)];
    one.choose("older", true);
    other.choose("newer", true);
    expect(new Follower(b.make).incident).toBe("newer");
  });
  it("takes no message that it does not know", () => {
    const b = browser();
    const follower = new Follower(b.make);
    for (const data of [null, "x", { kind: "chosen", incident: 3, at: 1 }, { kind: "chosen", incident: "x" }, { kind: "later" }]) for (const c of b.all) c.onmessage?.({ data });
    expect(follower.incident).toBe("");
  });
});
