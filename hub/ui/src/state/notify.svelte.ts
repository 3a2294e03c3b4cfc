// Notifications of the desktop, for a console in the background. The browser is asked for the permission when the
// person presses a button, and never before.
import { rankOf, type Severity } from "../api/types";
import { prefs } from "./prefs.svelte";
import { navigate } from "./router.svelte";

/** insecure: the browser has none for a page that came over plain HTTP from another machine, or none at all */
export type Permission = NotificationPermission | "insecure";

const tag = "gridpost-alarm"; // the newest takes the place of the one before

class Notifications {
  permission: Permission = $state(typeof Notification === "undefined" || !isSecureContext ? "insecure" : Notification.permission);

  get on(): boolean { return prefs.notify && this.permission === "granted"; }

  /** Turns them on, asking the browser if it has not been asked. From a press of a button. Says whether they are on. */
  async turnOn(): Promise<boolean> {
    if (this.permission === "insecure") return false;
    this.permission = await Notification.requestPermission();
    prefs.notify = this.permission === "granted";
    return prefs.notify;
  }

  turnOff(): void {
    prefs.notify = false;
  }

  /** Shows one, unless the console is before the person's eyes. A press on it leads to path. */
  show(severity: Severity, title: string, body: string, path: string): void {
    if (!this.on || rankOf(severity) < rankOf(prefs.notifyFrom) || (!document.hidden && document.hasFocus())) return;
    try {
      const options = { body, tag, renotify: true, silent: true, requireInteraction: rankOf(severity) >= 2, lang: prefs.language };
      const shown = new Notification(title, options);
      shown.onclick = () => {
        focus();
        navigate(path);
        shown.close();
      };
    } catch (error) {
      // Phones let only service workers notify. Nothing is lost: the console itself still tells of it.
      this.permission = "insecure";
      console.warn("the browser shows no notifications:", error);
    }
  }
}

export const notifications = new Notifications();
