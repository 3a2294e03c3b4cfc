// The hands of a person: one that points, and one that has only keys. A test that is written with a hand
// runs with either. The keyboard's goes the long way, by Tab and arrows, so that what it has no key for
// is reached too; where the focus is lost or cannot be seen on the way, the test fails.
import type { Locator, Page } from "playwright-core";
import { until } from "./stage";

export const hands = ["pointer", "keyboard"] as const;
export type HandName = (typeof hands)[number];

export interface Hand {
  /** Presses a button, a link, a choice. */
  press(what: Locator): Promise<void>;
  /** Writes into a field, in place of what stands there. */
  write(field: Locator, text: string): Promise<void>;
  /** Brings a row of the list of incidents to hand: what can be done with it is there then. */
  take(row: Locator): Promise<void>;
  /** The page is another: where the focus was says nothing any more. */
  anew(): void;
}

export class Pointer implements Hand {
  async press(what: Locator): Promise<void> { await what.click(); }

  async write(field: Locator, text: string): Promise<void> {
    await field.click();
    await field.fill(text);
  }

  async take(row: Locator): Promise<void> { await row.hover(); }
  anew(): void {}
}

export interface Focus {
  what: string; // "" for nothing
  seen: boolean; // there is a ring around it, on the screen
}

/** What has the focus. */
export function focusOf(page: Page): Promise<Focus> {
  return page.evaluate(() => {
    const e = document.activeElement as HTMLElement | null;
    if (!e || e === document.body) return { what: "", seen: false };
    const box = e.getBoundingClientRect();
    const near = e.closest("label, .row, li, .menu, .slot");
    const rings = [getComputedStyle(e), getComputedStyle(e, "::after"), ...(near ? [getComputedStyle(near)] : [])];
    const ring = rings.some((s) => s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0) || e.matches("h1, main, input, textarea, select, [role=option], canvas, .panel, dialog");
    return {
      what: `${e.tagName.toLowerCase()}${e.id && `#${e.id}`} "${(e.getAttribute("aria-label") ?? e.textContent ?? "").trim().slice(0, 30)}"`,
      seen: ring && box.width > 0 && box.bottom > 0 && box.top < innerHeight,
    };
  });
}

const most = 250; // keys on the way to something

export class Keyboard implements Hand {
  #last = ""; // what was pressed

  constructor(private readonly page: Page) {}

  anew(): void { this.#last = ""; }

  async press(what: Locator): Promise<void> {
    const kind = await this.reach(what);
    const { what: pressed } = await focusOf(this.page);
    // A choice of a row of buttons is made by arrows on the way.
    if (kind !== "radio") await this.page.keyboard.press(kind === "checkbox" ? "Space" : "Enter");
    this.#last = pressed;
  }

  async write(field: Locator, text: string): Promise<void> {
    await this.reach(field);
    await this.page.keyboard.press("Control+a");
    await this.page.keyboard.type(text);
  }

  async take(row: Locator): Promise<void> {
    await row.waitFor();
    const chosen = async () => (await row.getAttribute("aria-current")) === "true";
    if (await chosen()) return;
    await this.#tab(this.page.locator('#incidents .title[tabindex="0"]'));
    await this.page.keyboard.press("Home");
    for (let n = 0; n < most && !(await chosen()); n += 1) await this.page.keyboard.press("ArrowDown");
    if (!(await chosen())) throw new Error("the row is not reached by arrows");
  }

  /** Puts the focus on something; says what kind of thing it is. */
  async reach(what: Locator): Promise<string> {
    await what.waitFor({ state: "attached" });
    const kind = await what.evaluate((e) => {
      const inside = e.matches("label") ? e.querySelector("input") : null;
      const one = inside ?? e;
      return one.matches("[role^=menuitem]") ? "menu" : one instanceof HTMLInputElement && /^(radio|checkbox)$/.test(one.type) ? one.type : "";
    });
    const target = (await what.evaluate((e) => e.matches("label"))) ? what.locator("input") : what;
    if (kind === "menu") await this.#arrows(target, "ArrowDown");
    else if (kind === "radio") {
      const name = await target.getAttribute("name");
      await this.#tab(this.page.locator(`input[type=radio][name="${name}"]:checked`));
      await this.#arrows(target, "ArrowRight");
    } else await this.#tab(target);
    const at = await focusOf(this.page);
    if (!at.seen) throw new Error(`the focus is on ${at.what}, and that cannot be seen`);
    return kind;
  }

  async #has(what: Locator): Promise<boolean> { return what.evaluate((e) => e === document.activeElement); }

  async #arrows(to: Locator, key: string): Promise<void> {
    for (let n = 0; n < most; n += 1) {
      if (await this.#has(to)) return;
      await this.page.keyboard.press(key);
    }
    throw new Error(`${to} is not reached by ${key}`);
  }

  async #tab(to: Locator): Promise<void> {
    if (this.#last) await until(`a focus after ${this.#last} was pressed`, async () => (await focusOf(this.page)).what, 5000);
    const passed: string[] = [];
    for (let n = 0; n < most; n += 1) {
      if (await this.#has(to)) return;
      await this.page.keyboard.press("Tab");
      passed.push((await focusOf(this.page)).what);
    }
    throw new Error(`${to} is not reached by Tab, only: ${[...new Set(passed)].join(", ")}`);
  }
}
