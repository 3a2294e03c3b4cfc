// What is being seen in a demonstration, and what to try: said once on a machine, at the first visit.
import { untrack } from "svelte";
import { t } from "../i18n/i18n.svelte";
import { toast } from "../state/announce.svelte";
import { session } from "../state/session.svelte";

const place = "gridpost.hint";
const long = 60_000; // ms that it stays, unless the person does something before

function seen(): boolean {
  try {
    return localStorage.getItem(place) === "seen";
  } catch {
    return true; // without a storage it would come back every time
  }
}

/** Whether a press of a key or button does something, and is not for reading on. */
function isAction(e: Event): boolean {
  if (e instanceof KeyboardEvent) return !["Tab", "Shift", "Control", "Alt", "Meta", "PageUp", "PageDown", "ArrowUp", "ArrowDown"].includes(e.key);
  return e.target instanceof Element && e.target.closest("a[href], button, input, select, textarea, label") !== null;
}

/** Says it, if it has not been said. Returns what ends that. */
export function hintAtDemo(): () => void {
  if (!untrack(() => session.demo) || seen()) return () => {};
  const text = t(matchMedia("(hover: none) and (pointer: coarse)").matches ? "hint.demoTouch" : "hint.demo");
  const close = toast(text, { ms: 0 });
  const events = ["keydown", "click"] as const;
  const acted = (e: Event) => isAction(e) && end();
  const end = () => {
    clearTimeout(timer);
    for (const name of events) removeEventListener(name, acted, true);
    close();
    localStorage.setItem(place, "seen");
  };
  const timer = setTimeout(end, long);
  for (const name of events) addEventListener(name, acted, true);
  return () => {
    clearTimeout(timer);
    for (const name of events) removeEventListener(name, acted, true);
    close();
  };
}
