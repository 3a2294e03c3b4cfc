// What the hub says of webhooks and views, in the reader's language. Forms that are not known stay as
// they are; titles and reasons that people wrote always do.
import { fmt } from "../../i18n/formats.svelte";
import { maybe, t } from "../../i18n/i18n.svelte";
import { ApiError } from "../../api/client";
import { errorText } from "../../i18n/words";

type Form = [RegExp, (m: RegExpMatchArray) => string];

const deliveries: Form[] = [
  [/^nothing answers at (\S+)/, (m) => t("admin.cause.refused", { address: m[1]! })],
  [/^the name (\S+) could not be resolved/, (m) => t("admin.cause.name", { name: m[1]! })],
  [/^no answer within (\S+)/, (m) => t("admin.cause.silent", { span: m[1]! })],
  [/^the target's certificate is not accepted: (.*)/, (m) => t("admin.cause.certificate", { cause: m[1]! })],
  [/^the address (\S+) is inside the network/, (m) => t("admin.cause.inside", { address: m[1]! })],
  [/^the target answered 410/, () => t("admin.cause.gone")],
  [/^the target answered (\d+) ?([^;]*)/, (m) => t("admin.cause.answered", { status: m[1]!, text: m[2]! }).trim()],
  [/^switched off by (.+)/, (m) => t("admin.cause.off", { user: m[1]! })],
];

/** Why a delivery did not arrive, or why a target is off. */
export function deliveryCause(text: string): string {
  const given = text.match(/; given up after (\d+) attempts$/);
  const said = say(text, deliveries);
  return given ? t("admin.cause.givenUp", { cause: said, count: Number(given[1]) }) : said;
}

const urls: Form[] = [
  [/expected a URL such as/, () => t("admin.url.form")],
  [/begins with https/, () => t("admin.url.https")],
  [/without a user name/, () => t("admin.url.user")],
  [/without #/, () => t("admin.url.hash")],
  [/expected a port/, () => t("admin.url.port")],
  [/at most 2000/, () => t("admin.url.long")],
  [/the address (\S+) is inside the network/, (m) => t("admin.cause.inside", { address: m[1]! })],
  [/secret|whsec_/, () => t("admin.url.secret")],
];

/** Why the hub does not take a target. */
export function webhookError(error: unknown): string {
  if (error instanceof ApiError && error.status === 422) return say(error.detail, urls);
  return errorText(error);
}

const ends: Form[] = [
  [/^the viewer (?:ended it|closed the connection)/, () => t("admin.ended.viewer")],
  [/^the connection to the viewer was lost|^the viewer could not be reached/, () => t("admin.ended.lost")],
  [/^the time limit/, () => t("admin.ended.limit")],
  [/^the hub (?:is stopping|was stopped)/, () => t("admin.ended.hub")],
  [/^the picture from the edge ended|^the edge ended it|^the camera's coding/, () => t("admin.ended.edge")],
  [/^the edge (?:\S+ )?(?:does not answer|is not connected|has not begun)/, () => t("admin.ended.silent")],
];

/** Why a view ended. */
export const endedWhy = (text: string): string => say(text, ends);

function say(text: string, forms: Form[]): string {
  for (const [form, words] of forms) {
    const m = text.match(form);
    if (m) return words(m);
  }
  return text;
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
