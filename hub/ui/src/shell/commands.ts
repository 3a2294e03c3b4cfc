// The commands that hold everywhere.
import { t } from "../i18n/i18n.svelte";
import { errorText } from "../i18n/words";
import { toast } from "../state/announce.svelte";
import type { Command } from "../state/commands.svelte";
import { openScreen } from "../state/follow.svelte";
import { link } from "../state/link.svelte";
import { notifications } from "../state/notify.svelte";
import { palette } from "../state/palette.svelte";
import { prefs } from "../state/prefs.svelte";
import { navigate } from "../state/router.svelte";
import { session } from "../state/session.svelte";
import { muteChoices, sound } from "../state/sound.svelte";
import { places } from "./places";
import { shell } from "./ui.svelte";

export async function signOut(): Promise<void> {
  try {
    await session.signOut();
  } catch (error) {
    toast(t("shell.signOut.failed", { cause: errorText(error) }), { kind: "bad" });
  }
}

/** Opens the second window, which follows this one. */
export function showScreen(): void {
  if (!openScreen()) toast(t("screen.refused"), { kind: "bad" });
}

export function shellCommands(): Command[] {
  const go: Command[] = places.map((p) => ({
    id: `go.${p.id}`, group: "go", keys: [p.keys], label: () => t("shell.go.to", { view: t(p.label) }),
    when: () => session.may(p.role), run: () => navigate(p.path),
  }));
  const mutes: Command[] = muteChoices.map((minutes) => ({
    id: `sound.mute.${minutes}`, group: "general", label: () => t("sound.muteFor", { count: minutes }),
    when: () => prefs.sound && !sound.muted, run: () => sound.mute(minutes),
  }));
  return [
    ...go,
    { id: "go.screen", group: "go", keys: ["g w"], label: () => t("screen.open"), when: () => session.may("dispatcher"), run: showScreen },
    { id: "palette", group: "general", keys: ["Ctrl+k", "/"], label: () => t("shell.palette"), palette: false, inFields: true, run: () => palette.toggle() },
    { id: "keys", group: "general", keys: ["?"], label: () => t("shell.keys"), run: () => palette.toggleKeys() },
    { id: "theme", group: "general", label: () => t(prefs.theme === "dark" ? "shell.theme.toLight" : "shell.theme.toDark"), run: () => (prefs.themeChoice = prefs.theme === "dark" ? "light" : "dark") },
    { id: "theme.system", group: "general", label: () => t("shell.theme.toSystem"), when: () => prefs.themeChoice !== "system", run: () => (prefs.themeChoice = "system") },
    { id: "language", group: "general", label: () => t("shell.language.other"), find: () => "language 语言 中文 english", run: () => (prefs.language = prefs.language === "en" ? "zh-CN" : "en") },
    { id: "sound", group: "general", label: () => t(prefs.sound ? "sound.turnOff" : "sound.turnOn"), run: () => (prefs.sound = !prefs.sound) },
    { id: "sound.unmute", group: "general", label: () => t("sound.unmute"), when: () => sound.muted, run: () => sound.unmute() },
    { id: "sound.try", group: "general", label: () => t("sound.try"), run: () => sound.play("severe", true) },
    ...mutes,
    { id: "notify", group: "general", label: () => t(notifications.on ? "notify.turnOff" : "notify.turnOn"), when: () => ["default", "granted"].includes(notifications.permission), run: () => void (notifications.on ? notifications.turnOff() : notifications.turnOn()) },
    { id: "link.retry", group: "general", label: () => t("link.retry"), when: () => link.state !== "live", run: () => link.retry() },
    { id: "password", group: "general", label: () => t("password.title"), run: () => (shell.passwordOpen = true) },
    { id: "totp", group: "general", label: () => t("totp.title"), run: () => (shell.totpOpen = true) },
    { id: "signout", group: "general", label: () => t("shell.signOut"), run: () => void signOut() },
  ];
}
