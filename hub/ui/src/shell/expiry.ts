// A session ends by itself, at worst in the middle of something: it is said before, while there is time
// to sign in again. Whoever does comes back to the same view.
import { untrack } from "svelte";
import { fmt } from "../i18n/formats.svelte";
import { t } from "../i18n/i18n.svelte";
import { toast } from "../state/announce.svelte";
import { clock } from "../state/clock.svelte";
import { session } from "../state/session.svelte";
import { signOut } from "./commands";

const before = 15 * 60_000; // ms
const longest = 2 ** 31 - 1; // ms that a timer can wait

/** Waits for it. Returns what ends the waiting, and takes the message away. */
export function warnOfExpiry(): () => void {
  const ends = untrack(() => session.expires);
  if (!ends) return () => {};
  let close = () => {};
  const warn = () => {
    close = toast(t("shell.expires", { time: fmt.minute(ends) }), { ms: 0, action: { label: t("shell.expires.do"), run: () => void signOut() } });
  };
  const timer = setTimeout(warn, Math.min(longest, Math.max(0, ends.getTime() - before - clock.exact())));
  return () => {
    clearTimeout(timer);
    close();
  };
}
