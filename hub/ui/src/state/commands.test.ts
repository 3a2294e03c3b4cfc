import { beforeEach, describe, expect, it } from "vitest";
import { type Command, commands, keyName } from "./commands.svelte";
import { find, score } from "./palette.svelte";
import { prefs } from "./prefs.svelte";

const key = (k: string, more: Partial<KeyboardEvent> = {}) => {
  const e = { key: k, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, getModifierState: () => false, defaultPrevented: false, isComposing: false, target: null, prevented: false, ...more };
  return Object.assign(e, { preventDefault: () => (e.prevented = true) }) as unknown as KeyboardEvent & { prevented: boolean };
};

class Element {}
class Field extends Element {
  isContentEditable = false;
  type = "text";
}
Object.assign(globalThis, { Element, HTMLElement: Element, HTMLInputElement: Field, HTMLTextAreaElement: class extends Element {}, HTMLSelectElement: class extends Element {} });

let ran: string[] = [];
const command = (id: string, more: Partial<Command> = {}): Command => ({ id, label: () => id, group: "general", run: () => void ran.push(id), ...more });

beforeEach(() => {
  ran = [];
  prefs.keys = true;
  commands.modal = 0;
});

describe("keyName", () => {
  it.each([
    [{ key: "a" }, "a"], [{ key: "A", shiftKey: true }, "Shift+a"], [{ key: "?", shiftKey: true }, "?"], [{ key: "k", ctrlKey: true }, "Ctrl+k"],
    [{ key: "k", metaKey: true }, "Ctrl+k"], [{ key: "Enter", shiftKey: true }, "Shift+Enter"], [{ key: " " }, "Space"], [{ key: "1", altKey: true }, "Alt+1"],
  ])("%o", (e, name) => {
    expect(keyName({ ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...e })).toBe(name);
  });
});

describe("commands", () => {
  it("run by key, the latest added first, until they are taken away", () => {
    const ends = [commands.add(() => [command("first", { keys: ["a"] })]), commands.add(() => [command("second", { keys: ["a"] })])];
    const e = key("a");
    commands.press(e);
    expect(ran).toEqual(["second"]);
    expect(e.prevented).toBe(true);
    ends[1]!();
    commands.press(key("a"));
    expect(ran).toEqual(["second", "first"]);
    ends[0]!();
    commands.press(key("a"));
    expect(ran.length).toBe(2);
  });

  it("run by two keys in a row", () => {
    const end = commands.add(() => [command("go", { keys: ["g i"] }), command("i", { keys: ["i"] })]);
    commands.press(key("g"));
    commands.press(key("i"));
    commands.press(key("i"));
    end();
    expect(ran).toEqual(["go", "i"]);
  });

  it("leave typing alone, but for those that say otherwise", () => {
    const end = commands.add(() => [command("letter", { keys: ["a"] }), command("palette", { keys: ["Ctrl+k"], inFields: true })]);
    const target = new Field() as unknown as EventTarget;
    commands.press(key("a", { target }));
    commands.press(key("k", { target, ctrlKey: true }));
    end();
    expect(ran).toEqual(["palette"]);
  });

  it("never take a key that types a character in a field, whatever they ask for", () => {
    const printable = [...Array.from({ length: 95 }, (_, n) => String.fromCharCode(32 + n)), "é", "ß", "中", "。", "😀"];
    const keys = printable.flatMap((k) => [keyName(key(k)), keyName(key(k, { shiftKey: true })), keyName(key(k, { ctrlKey: true, altKey: true }))]);
    const end = commands.add(() => [command("greedy", { keys: [...keys, ...keys.map((k) => `g ${k}`)], inFields: true })]);
    const target = new Field() as unknown as EventTarget;
    for (const k of printable) {
      const altGr = { ctrlKey: true, altKey: true, getModifierState: (m: string) => m === "AltGraph" };
      for (const more of [{}, { shiftKey: true }, altGr, { isComposing: true }]) {
        const e = key(k, { target, ...more });
        commands.press(e);
        expect(e.prevented, `${k} ${JSON.stringify(more)}`).toBe(false);
      }
    }
    // The first key of a sequence does not wait in a field for the second one outside of it.
    commands.press(key("g"));
    commands.press(key("g", { target }));
    end();
    expect(ran).toEqual(["greedy"]);
  });

  it("wait while a dialog is open, or when they cannot be done", () => {
    let may = false;
    const end = commands.add(() => [command("a", { keys: ["a"] }), command("b", { keys: ["b"], when: () => may })]);
    commands.press(key("b"));
    may = true;
    commands.modal = 1;
    commands.press(key("a"));
    expect(ran).toEqual([]);
    commands.modal = 0;
    commands.press(key("b"));
    end();
    expect(ran).toEqual(["b"]);
  });

  it("of a single sign can be turned off", () => {
    const end = commands.add(() => [command("a", { keys: ["a"] }), command("k", { keys: ["Ctrl+k"] }), command("down", { keys: ["ArrowDown"] })]);
    prefs.keys = false;
    commands.press(key("a"));
    commands.press(key("k", { ctrlKey: true }));
    commands.press(key("ArrowDown"));
    end();
    expect(ran).toEqual(["k", "down"]);
  });
});

describe("find", () => {
  it("wants every word and likes beginnings", () => {
    expect(score("Go to Map", "map go")).toBeGreaterThan(0);
    expect(score("Go to Map", "map x")).toBe(0);
    expect(score("Map", "ma")).toBeGreaterThan(score("Roadmap", "ma"));
    expect(score("设备", "设备")).toBeGreaterThan(score("设备分类", "设备"));
    expect(score("前往设备", "设备")).toBeGreaterThan(score("按站点 · 设备排序", "设备"));
    expect(score("前往地图", "地图")).toBeGreaterThan(0);
  });
  it("lists all as they stand for nothing, the best first for something", () => {
    const all = [command("roadmap"), command("map"), command("hidden", { palette: false })];
    expect(find(all, " ").map((c) => c.id)).toEqual(["roadmap", "map"]);
    expect(find(all, "map").map((c) => c.id)).toEqual(["map", "roadmap"]);
  });
});
