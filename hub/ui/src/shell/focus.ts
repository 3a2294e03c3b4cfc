// What has the focus may go away: a form whose answer takes its place, a row that was removed, the sign-in.
// Then the focus goes to the title of what is there instead; else keys and readers of screens would begin
// again at the top of the page.
import { page } from "../state/page.svelte";

/** Looks after the focus. Returns what ends that. */
export function keepFocus(): () => void {
  let last: Node | null = null;
  const came = (e: FocusEvent) => (last = e.target as Node);
  // Somebody has put the focus down; a node that is just being removed stands there no more after this task.
  const went = (e: FocusEvent) => queueMicrotask(() => { if (last === e.target && last?.isConnected) last = null; });
  const look = () => {
    if (!last || last.isConnected) return;
    last = null;
    if (document.activeElement !== document.body) return;
    const box = [...document.querySelectorAll<HTMLElement>("dialog[open] h2[tabindex]")].at(-1);
    if (box) box.focus({ preventScroll: true });
    else page.focus();
  };
  const changes = new MutationObserver(look);
  changes.observe(document.body, { childList: true, subtree: true });
  document.addEventListener("focusin", came);
  document.addEventListener("focusout", went);
  return () => {
    changes.disconnect();
    document.removeEventListener("focusin", came);
    document.removeEventListener("focusout", went);
  };
}
