// English sentences of a known form, in the reader's language. Go code writes them for logs and for
// people who look there; the console finds their figures and names again by the form.
import { fmt } from "./formats.svelte";
import { type Key, maybe, type Params, t } from "./i18n.svelte";

/** Named groups of a form become the blanks of its message; those that readable() knows are made readable first. */
export type Form = [RegExp, Key];

/** What the text says, if it is of one of the forms; inner reads a sentence within it. */
export function wordsOf(text: string, forms: readonly Form[], inner: (text: string) => string = (s) => s): string | null {
  for (const [form, key] of forms) {
    const m = text.match(form);
    if (!m) continue;
    const params: Params = {};
    for (const [name, value] of Object.entries(m.groups ?? {})) params[name] = name === "cause" ? inner(value ?? "") : readable(name, value ?? "");
    return t(key, params).trim();
  }
  return null;
}

/** Milliseconds of a span as Go writes it: "1m30s", "500ms", "10 s"; null for another text. */
export function goSpan(text: string): number | null {
  const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const parts = [...text.matchAll(/([\d.]+) ?(ms|s|m|h)/g)];
  if (parts.map((p) => p[0]).join("") !== text) return null;
  return parts.reduce((sum, p) => sum + Number(p[1]) * units[p[2]!]!, 0);
}

function readable(name: string, value: string): string | number {
  switch (name) {
    case "span": {
      const ms = goSpan(value);
      return ms === null ? value : ms < 1000 ? fmt.quantity(ms, "ms") : fmt.spanLong(ms);
    }
    case "count":
      return Number(value);
    case "certificate":
      return certificateOf(value);
    case "field":
      return maybe(`answer.field.${value}`) ?? value;
  }
  return value;
}

/** What Go says of a certificate. */
const certificates: Form[] = [
  [/certificate signed by unknown authority/, "cause.certificate.unknown"],
  [/certificate has expired or is not yet valid/, "cause.certificate.time"],
  [/certificate is (?:not )?valid for .*|doesn't contain any IP SANs|is not valid for any names/, "cause.certificate.name"],
];

/** Why a certificate is not trusted, of what Go says; as it is where that is of no known form. */
export const certificateOf = (text: string): string => wordsOf(text, certificates) ?? text;
