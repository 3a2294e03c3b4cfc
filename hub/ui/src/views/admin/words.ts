// What the hub says of webhooks and views, in the reader's language. Forms that are not known stay as
// they are; titles and reasons that people wrote always do.
import { type Form, wordsOf } from "../../i18n/forms";
import { fmt } from "../../i18n/formats.svelte";
import { languages, maybe, t, translate } from "../../i18n/i18n.svelte";
import { answerOf } from "../../i18n/answers";
import { causeOfWords } from "../../video/causes";

const deliveries: Form[] = [
  [/^(?<cause>.+); given up after (?<count>\d+) attempts$/, "admin.cause.givenUp"],
  [/^nothing answers at (?<address>\S+)/, "admin.cause.refused"],
  [/^the name (?<name>\S+) could not be resolved$/, "admin.cause.name"],
  [/^no answer within (?<span>\S+)$/, "admin.cause.silent"],
  [/^the target's certificate is not accepted: (?<certificate>.*)$/, "admin.cause.certificate"],
  [/^the address (?<address>\S+) is inside the network/, "admin.cause.inside"],
  [/^the target answered 410 Gone$/, "admin.cause.gone"],
  [/^the target answered (?<status>\d+) ?(?<text>.*)$/, "admin.cause.answered"],
  [/^switched off by (?<user>.+)$/, "admin.cause.off"],
  [/^the target's URL cannot be used$|^checking the target's URL: |^reading the address /, "admin.cause.url"],
  [/^signing with the target's secret: |^expected whsec_/, "admin.cause.secret"],
];

/** Why a delivery did not arrive, or why a target is off. */
export function deliveryCause(text: string): string {
  return text && (wordsOf(text, deliveries, deliveryCause) ?? t("admin.cause.other", { detail: answerOf(text) ?? text }));
}

/** Why a view ended, in few words. */
export function endedWhy(text: string): string {
  const { code } = causeOfWords(text);
  return (code !== "told" && maybe(`admin.ended.${code}`)) || text;
}

/** What somebody watched for. What the console itself proposed is said in the reader's language. */
export function reasonText(reason: string): string {
  if (!reason || reason === "unspecified") return t("admin.views.noReason");
  const proposed = (["video.wall.whyDefault", "devices.look.reason.check", "devices.look.reason.call", "devices.look.reason.aim"] as const)
    .find((key) => languages.some((l) => translate(l, key) === reason));
  return proposed ? t(proposed) : reason;
}

/** What of a target's URL is shown unasked: the rest may be a secret. */
export function originOf(url: string): string {
  try {
    const u = new URL(url);
    return u.origin + (u.pathname.length > 1 || u.search ? "/…" : "");
  } catch {
    return url;
  }
}

export const kindText = (kind: string): string => maybe(`admin.kind.${kind}`) ?? kind;

export const tookText = (ms: number): string => (ms < 1000 ? t("admin.took", { ms: fmt.number(ms, 0) }) : fmt.span(ms));
