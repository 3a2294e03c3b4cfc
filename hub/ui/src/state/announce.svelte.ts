// What is said aloud to readers of screens (App.svelte has the two live regions), and toasts.
import { untrack } from "svelte";

export type ToastKind = "info" | "good" | "bad";

export interface Toast {
  id: number;
  kind: ToastKind;
  text: string;
  action?: { label: string; run: () => void };
}

class Announcer {
  polite = $state("");
  assertive = $state("");
  toasts: Toast[] = $state([]);
  #next = 1;
  #flip = false;

  /** Says a text: "polite" when there is a pause, "assertive" at once. */
  say(text: string, how: "polite" | "assertive" = "polite"): void {
    // The same text twice is no change to the page, so nothing would be said: a blank makes it one.
    this.#flip = !this.#flip;
    this[how] = this.#flip ? text : `${text}\u00a0`;
  }

  /** Shows a short message at the edge of the screen. It stays ms (0: until closed) and is read aloud. */
  toast(text: string, o: { kind?: ToastKind; action?: Toast["action"]; ms?: number } = {}): () => void {
    const toast: Toast = { id: this.#next++, kind: o.kind ?? "info", text, ...(o.action && { action: o.action }) };
    const kept = untrack(() => this.toasts).filter((x) => x.text !== text || x.kind !== toast.kind);
    this.toasts = [...kept, toast].slice(-4);
    this.say(text, toast.kind === "bad" ? "assertive" : "polite");
    const ms = o.ms ?? (toast.kind === "bad" ? 12_000 : o.action ? 10_000 : 5_000);
    const close = () => this.dismiss(toast.id);
    if (ms > 0) setTimeout(close, ms);
    return close;
  }

  dismiss(id: number): void {
    this.toasts = untrack(() => this.toasts).filter((x) => x.id !== id);
  }
}

export const announcer = new Announcer();
export const announce = (text: string, how?: "polite" | "assertive"): void => announcer.say(text, how);
export const toast = (text: string, o?: Parameters<Announcer["toast"]>[1]): (() => void) => announcer.toast(text, o);
