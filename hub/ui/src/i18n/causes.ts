// Why a device is not online, what is wrong with an edge, why the hub refused something: codes with parameters, put
// into words here. The registries are devices/causes.go and hub/internal/problem/codes.go; testdata/codes.json lists
// both, and codes.test.ts wants words for each code. A code that this console does not know, and what has no code, are
// shown by their English text.
import type { Reason } from "../api/client";
import type { components } from "../api/schema";
import { fmt } from "./formats.svelte";
import { maybe } from "./i18n.svelte";
import { deviceName, siteName } from "./names";

/** edge: whose devices it names. */
export type Cause = Reason & { edge?: string | undefined };

/** What has a cause in the hub's API: a device, a camera of the ranking. */
export interface Caused {
  edge?: string | undefined;
  cause: string;
  cause_code?: string | undefined;
  cause_params?: Record<string, string> | undefined;
}

const inner = "cause_"; // before the parameters of a cause within a cause

/** A cause in the reader's language; "" for none. */
export function causeText(c: Cause): string {
  const params = c.params ?? {};
  // Without the other parameters: the message with its blanks, in the form of plural that the count asks for.
  const message = c.code ? maybe(`code.${c.code}`, params["count"] === undefined ? undefined : { count: Number(params["count"]) }) : null;
  if (message === null) return c.text;
  const wanted = message.replace(/\[([^\]]*)\]/g, (_, part: string) => (blanks(part).every((name) => params[name]) ? part : ""));
  if (!blanks(wanted).every((name) => params[name] !== undefined)) return c.text;
  return wanted.replace(/\{(\w+)\}/g, (_, name: string) => readable(c, name, params[name]!));
}

/** Whether this console has words for a code. */
export const knownCode = (code: string): boolean => maybe(`code.${code}`) !== null;

/** Why a device is as it is, in the reader's language; "" if there is nothing to say. */
export const causeOf = (d: Caused): string => causeText({ code: d.cause_code ?? "", params: d.cause_params, text: d.cause, edge: d.edge });

/** What is wrong with an edge, worst first, in the reader's language. */
export function problemsOf(h: components["schemas"]["EdgeHealth"] | undefined, edge?: string): string[] {
  return [...new Set((h?.problem_codes ?? h?.problems?.map((text) => ({ code: "", text })) ?? []).map((c) => causeText({ ...c, edge })))];
}

/** Why something was lost: the code of a gap. */
export const reasonText = (code: string): string => causeText({ code, text: code });

const blanks = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]!);

/** The parameters of a cause within a cause. */
function within(params: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(params).flatMap(([name, value]) => (name.startsWith(inner) ? [[name.slice(inner.length), value]] : [])));
}

function readable(c: Cause, name: string, value: string): string {
  if (name === "seconds" || name === "retry_in" || name.endsWith("_seconds")) {
    const ms = Number(value) * 1000;
    return Number.isFinite(ms) ? (ms < 1000 ? fmt.quantity(ms, "ms") : fmt.spanLong(ms)) : value;
  }
  switch (name) {
    case "cause": {
      const params = within(c.params ?? {});
      const { code = "", ...rest } = params;
      return causeText({ code, params: rest, text: value, edge: c.edge });
    }
    case "since":
      return Number.isNaN(Date.parse(value)) ? value : fmt.moment(value);
    case "date":
      return Number.isNaN(Date.parse(value)) ? value : fmt.day(value);
    case "field":
      return maybe(`field.${value}`) ?? value;
    case "state":
      return maybe(`state.${value}`) ?? value;
    case "edge":
      return siteName(value);
    case "device":
      return deviceName(c.edge ?? "", value);
  }
  return value;
}
