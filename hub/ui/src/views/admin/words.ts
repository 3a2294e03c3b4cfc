// Webhooks and views in the reader's language. Titles and reasons that people wrote stay as they are.
import { type Caused, causeOf, causeText } from "../../i18n/causes";
import { fmt } from "../../i18n/formats.svelte";
import { languages, maybe, t, translate } from "../../i18n/i18n.svelte";

/** Why a delivery did not arrive, or why a target is off. */
export const deliveryCause = (d: Caused): string => causeOf(d);

/** Why a view ended, in few words. */
export function endedWhy(v: { ended_why?: string | undefined; ended_code?: string | undefined; ended_params?: Record<string, string> | undefined }): string {
  return causeText({ code: v.ended_code ?? "", params: v.ended_params, text: v.ended_why ?? "" });
}

/** What somebody watched for. What the console itself proposed is said in the reader's language. */
export function reasonText(reason: string): string {
  if (!reason || reason === "unspecified") return t("admin.views.noReason");
  const proposed = (["video.wall.whyDefault", "incident.live.after", "devices.look.reason.check", "devices.look.reason.call", "devices.look.reason.aim"] as const)
    .find((key) => languages.some((l) => translate(l, key) === reason));
  return proposed ? t(proposed) : reason;
}

/** What of a target's URL is shown unasked: the rest may be a secret. */
export function originOf(url: string): string {
  try {
    const u = new URL(url);
    return `${u.protocol}//${u.host}` + (u.pathname.length > 1 || u.search ? "/…" : "");
  } catch {
    return url;
  }
}

export const kindText = (kind: string): string => maybe(`admin.kind.${kind}`) ?? kind;

export const tookText = (ms: number): string => (ms < 1000 ? t("admin.took", { ms: fmt.number(ms, 0) }) : fmt.span(ms));
