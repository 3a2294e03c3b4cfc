// What happens when an incident does, whatever view is shown: a tone and a sentence for readers of
// screens, and a notification of the desktop when the console is in the background. Several at once are one alarm, of
// the worst.
import type { Incident } from "../api/types";
import { rankOf } from "../api/types";
import { incidentSite } from "../i18n/names";
import { incidentTitle } from "../i18n/words";
import { t } from "../i18n/i18n.svelte";
import { announce } from "../state/announce.svelte";
import { incidents } from "../state/incidents.svelte";
import { notifications } from "../state/notify.svelte";
import { to } from "../state/router.svelte";
import { session } from "../state/session.svelte";
import { sound } from "../state/sound.svelte";

const together = 150; // ms

/** Begins; returns what ends it. */
export function raiseAlarms(): () => void {
  let waiting: Incident[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const raise = () => {
    clearTimeout(timer);
    const worst = waiting.reduce((a, b) => (rankOf(b.severity) > rankOf(a.severity) ? b : a));
    const params = { severity: t(`severity.${worst.severity}`), title: incidentTitle(worst), site: incidentSite(worst) };
    const more = waiting.length - 1;
    const text = worst.edge ? t("alarm.one", params) : t("alarm.report", params);
    announce(more > 0 ? t("alarm.more", { text, count: more }) : text, rankOf(worst.severity) >= 2 ? "assertive" : "polite");
    sound.play(worst.severity);
    notifications.show(worst.severity, text, more > 0 ? t("notify.more", { count: more }) : "", to.incident(worst.id));
    waiting = [];
    timer = undefined;
  };
  const end = incidents.onArrived((i) => {
    if (i.assignee === session.user) return; // one's own report
    if (i.muted_until) return; // its rule is muted, as the hub says of this moment
    waiting.push(i);
    // In the background, where timers are late, what has come in one piece is one alarm.
    if (!document.hidden) timer ??= setTimeout(raise, together);
    else if (waiting.length === 1) queueMicrotask(raise);
  });
  return () => {
    end();
    clearTimeout(timer);
  };
}
