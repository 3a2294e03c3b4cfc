import { flushSync } from "svelte";
import { describe, expect, it } from "vitest";
import { Loader, onKey } from "./keyed.svelte";

const settled = async () => {
  for (let n = 0; n < 10; n += 1) {
    await Promise.resolve();
    flushSync();
  }
};

describe("onKey", () => {
  it("starts once for a key and ends before the next one, whatever start reads and writes", () => {
    let key: string | null = $state("a");
    let other = $state(0);
    const ran: string[] = [];
    const end = $effect.root(() => {
      onKey(() => key, (k) => {
        ran.push(k);
        other += 1; // reads and writes
        return () => ran.push(`-${k}`);
      });
    });
    flushSync();
    other += 1;
    flushSync();
    expect(ran).toEqual(["a"]);
    key = "b";
    flushSync();
    key = null;
    flushSync();
    expect(ran).toEqual(["a", "-a", "b", "-b"]);
    end();
    expect(ran.length).toBe(4);
    expect((() => other)()).toBe(3);
  });
});

describe("Loader", () => {
  it("fetches once for each key, also when the hub refuses", async () => {
    let key = $state("a");
    let asked = 0;
    let fails = true;
    let loader!: Loader<string>;
    const end = $effect.root(() => {
      loader = new Loader(() => key, async () => {
        asked += 1;
        if (fails) throw new Error("no answer");
        return `${key} ${loader.value ?? ""} ${loader.busy}`; // reads what it writes
      });
    });
    flushSync();
    await settled();
    expect(asked).toBe(1);
    expect(loader.error).toBeInstanceOf(Error);
    expect(loader.busy).toBe(false);
    fails = false;
    loader.reload();
    await settled();
    expect(asked).toBe(2);
    expect(loader.error).toBe(null);
    expect(loader.value).toBe("a  true");
    key = "b";
    flushSync();
    await settled();
    expect(asked).toBe(3);
    end();
    loader.reload();
    await settled();
    expect(asked).toBe(3);
  });

  it("is neither busy nor failed for a key that it has no longer", async () => {
    let key: string | null = $state("a");
    let loader!: Loader<string>;
    const end = $effect.root(() => {
      loader = new Loader(() => key, async () => {
        await Promise.resolve();
        if (key === "b") throw new Error("no answer");
        key = null; // a fetch that changes its own key
        return "";
      });
    });
    flushSync();
    expect(loader.busy).toBe(true);
    await settled();
    expect([loader.busy, loader.error]).toEqual([false, null]);
    key = "b";
    await settled();
    expect([loader.busy, loader.error]).toEqual([false, new Error("no answer")]);
    key = null;
    await settled();
    expect([loader.busy, loader.error]).toEqual([false, null]);
    end();
  });

  it("forgets the answer to a key that is no longer wanted", async () => {
    let key = $state("a");
    const answers = new Map<string, (value: string) => void>();
    let loader!: Loader<string>;
    const end = $effect.root(() => {
      loader = new Loader(() => key, () => new Promise<string>((done) => answers.set(key, done)));
    });
    flushSync();
    key = "b";
    flushSync();
    answers.get("b")!("of b");
    await settled();
    answers.get("a")!("of a");
    await settled();
    expect(loader.value).toBe("of b");
    expect(loader.busy).toBe(false);
    end();
  });
});
