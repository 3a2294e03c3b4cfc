// What can be done by keyboard or by name. Views add their commands while they are shown; the
// palette (Ctrl+K, /) and the sheet of keys (?) list them, and one listener here runs them.
//
//   useCommands(() => [{ id: "incident.acknowledge", label: () => t("..."), keys: ["a"], group: "incident", run: acknowledge }]);
import { untrack } from "svelte";
import { prefs } from "./prefs.svelte";

export interface Command {
  id: string;
  /** in words, in the reader's language */
  label: () => string;
  /** each is one way: "a", "Enter", "Escape", "ArrowDown", "?", "Ctrl+k", "Shift+x", or two in a row: "g i" */
  keys?: string[];
  /** the heading that it stands under: key of a message "keys.group.<group>", see shell.*.json */
  group: Group;
  run: (event?: KeyboardEvent) => void;
  /** only then; reactive */
  when?: () => boolean;
  /** false: only by its key, not in the palette (moving the selection) */
  palette?: boolean;
  /** also while a field has the focus or a dialog is open; never by a key that types a character */
  inFields?: boolean;
  /** more words that find it */
  find?: () => string;
}

export type Group = "go" | "list" | "incident" | "map" | "video" | "devices" | "admin" | "report" | "general";
export const groups: Group[] = ["incident", "list", "map", "video", "devices", "report", "admin", "go", "general"];

const sequenceWithin = 1200; // ms between the two keys of a sequence

/** The name of a pressed key in the form that Command.keys has. */
export function keyName(e: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey">): string {
  const key = e.key.length === 1 ? e.key.toLowerCase() : e.key;
  let name = "";
  if (e.ctrlKey || e.metaKey) name += "Ctrl+";
  if (e.altKey) name += "Alt+";
  // Shift is part of the sign itself for "?" and the like; for letters and named keys it is told.
  if (e.shiftKey && (e.key.length > 1 || /\p{L}/u.test(e.key))) name += "Shift+";
  return name + (key === " " ? "Space" : key);
}

/** Whether the key types a character in a field. AltGr types too, and Windows reports it as Ctrl+Alt. */
export function typesCharacter(e: KeyboardEvent): boolean {
  if ([...e.key].length !== 1) return e.key === "Dead" || e.key === "Process";
  return e.getModifierState("AltGraph") || (!e.ctrlKey && !e.metaKey);
}

/** Whether the keys that somebody presses there are text: fields, and lists that are searched by typing. */
function isField(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  return target instanceof HTMLInputElement && !["checkbox", "radio", "button", "submit", "reset", "range", "color", "file", "image"].includes(target.type);
}

class Commands {
  #sets: { list: () => Command[] }[] = $state.raw([]);
  #prefix = "";
  #prefixAt = 0;
  /** how many dialogs are open; above 0 only commands with inFields run. Not reactive */
  modal = 0;

  /** Everything that can be done now; what was added last comes first and wins a key. */
  get available(): Command[] {
    return this.all.filter((c) => c.when?.() ?? true);
  }

  get all(): Command[] {
    const seen = new Set<string>();
    return this.#sets.flatMap((s) => s.list()).filter((c) => !seen.has(c.id) && seen.add(c.id));
  }

  /** Adds commands until the returned function is called. Components use useCommands. */
  add(list: () => Command[]): () => void {
    const set = { list };
    // Untracked: who adds or takes away within an effect does not depend on what others add.
    untrack(() => (this.#sets = [set, ...this.#sets]));
    return () => untrack(() => (this.#sets = this.#sets.filter((s) => s !== set)));
  }

  /** Listens to the keyboard. */
  start(): () => void {
    const down = (e: KeyboardEvent) => this.press(e);
    addEventListener("keydown", down);
    return () => removeEventListener("keydown", down);
  }

  /** Runs what a key stands for. */
  press(e: KeyboardEvent): void {
    if (e.defaultPrevented || e.isComposing || ["Control", "Shift", "Alt", "Meta"].includes(e.key)) return;
    const name = keyName(e);
    const typed = typesCharacter(e);
    const field = isField(e.target);
    // What types a character belongs to the field, whatever a command asks for, and to an open dialog.
    if (typed && (field || this.modal > 0 || !prefs.keys)) {
      this.#prefix = "";
      return;
    }
    // What has the focus keeps its own keys.
    const own = { Enter: "button, a[href], summary, [role=menuitem]", Space: "button, input, summary, [role=menuitem]" }[name];
    if (own && e.target instanceof Element && e.target.closest(own)) return;
    const sequence = this.#prefix && performance.now() - this.#prefixAt < sequenceWithin ? `${this.#prefix} ${name}` : "";
    const can = this.available.filter((c) => c.keys && ((!field && this.modal === 0) || c.inFields));
    const found = (sequence && can.find((c) => c.keys!.includes(sequence))) || can.find((c) => c.keys!.includes(name));
    this.#prefix = "";
    if (found) {
      e.preventDefault();
      found.run(e);
    } else if (can.some((c) => c.keys!.some((k) => k.startsWith(`${name} `)))) {
      this.#prefix = name;
      this.#prefixAt = performance.now();
    }
  }
}

export const commands = new Commands();

/** Adds a component's commands as long as it is mounted. Call it while the component is set up. */
export function useCommands(list: () => Command[]): void {
  $effect(() => commands.add(list));
}
