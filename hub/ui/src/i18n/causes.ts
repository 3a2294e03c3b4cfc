// Why a device is not online. Edges and the hub say it in English sentences of a known form
// (streams/rtsp, devices/mqtt, edge/internal/app, hub/internal/store); each form has words in every
// language here, and a sentence of another form is shown as it is.
import { fmt } from "./formats.svelte";
import { type Key, maybe, t } from "./i18n.svelte";

/** Named groups of a form become the blanks of its message; those named here are made readable first. */
const forms: [RegExp, Key][] = [
  [/^the camera asks for a user name and password/, "cause.asks"],
  [/^the camera refuses the user name or password/, "cause.unauthorized"],
  [/^the camera refuses access/, "cause.forbidden"],
  [/^the camera knows no stream at this path/, "cause.noStream"],
  [/^the camera has no room for another viewer/, "cause.full"],
  [/^the camera serves neither TCP nor UDP/, "cause.transport"],
  [/^the camera answers (?<status>\d+)/, "cause.status"],
  [/^the camera offers no H\.264 or H\.265 video/, "cause.noVideo"],
  [/^the camera ended the session/, "cause.ended"],
  [/^the camera hung up/, "cause.hungUp"],
  [/^the name (?<address>\S+) is not known/, "cause.name"],
  [/^the name of the broker (?<address>\S+) is not known/, "cause.brokerName"],
  [/^nothing answers at (?<address>\S+)(?: \((?<why>connection refused|no route|timed out|no answer within [^)]+)\))?/, "cause.nothing"],
  [/^what answers at (?<address>\S+) does not speak RTSP/, "cause.notRTSP"],
  [/^what answers at (?<address>\S+) is not understood/, "cause.garbage"],
  [/^connected, but no pictures for (?<span>.+)$/, "cause.noPictures"],
  [/^connected, but no key picture within (?<span>.+)$/, "cause.noKey"],
  [/^connected, but nothing comes by UDP/, "cause.udp"],
  [/^the broker at (?<address>\S+) refuses the user name or password/, "cause.brokerUnauthorized"],
  [/^the broker at (?<address>\S+) refuses the client's name/, "cause.brokerClient"],
  [/^the broker at (?<address>\S+) says that it is unavailable/, "cause.brokerUnavailable"],
  [/^the broker at (?<address>\S+) closed the connection/, "cause.brokerClosed"],
  [/^the certificate of the broker at (?<address>\S+) cannot be trusted/, "cause.brokerCertificate"],
  [/^no reading for more than (?<span>\S+), expected every (?<every>\S+?)$/, "cause.noReading"],
  [/^no reading since the edge started, expected every (?<every>\S+?)$/, "cause.neverRead"],
  [/^its edge (?<edge>\S+) has not been heard of yet/, "cause.edgeNever"],
  [/^its edge (?<edge>\S+) has not been heard of since (?<since>[\d-]+ [\d:]+) UTC/, "cause.edgeSilent"],
  [/^the hub revoked its edge|^its edge (?<edge>\S+) (?:was|is) revoked/, "cause.edgeRevoked"],
];

/** Milliseconds of a span as Go writes it: "1m30s", "500ms", "10 s"; null for another text. */
export function goSpan(text: string): number | null {
  const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const parts = [...text.matchAll(/([\d.]+) ?(ms|s|m|h)/g)];
  if (parts.map((p) => p[0]).join("") !== text) return null;
  return parts.reduce((sum, p) => sum + Number(p[1]) * units[p[2]!]!, 0);
}

function readable(name: string, value: string): string {
  switch (name) {
    case "span":
    case "every": {
      const ms = goSpan(value);
      return ms === null ? value : ms < 1000 ? fmt.quantity(ms, "ms") : fmt.spanLong(ms);
    }
    case "since":
      return fmt.moment(`${value.replace(" ", "T")}Z`);
    case "why":
      return maybe(`cause.why.${value.replace(/ within .*/, "").replaceAll(" ", "_")}`) ?? value;
    case "edge":
      return value.replaceAll("-", " ");
  }
  return value;
}

function one(text: string): string {
  for (const [form, key] of forms) {
    const m = text.match(form);
    if (!m) continue;
    const params: Record<string, string> = {};
    for (const [name, value] of Object.entries(m.groups ?? {})) if (value !== undefined) params[name] = readable(name, value);
    if (key === "cause.nothing" && !params["why"]) return t("cause.nothingAt", params);
    return t(key, params);
  }
  return text;
}

/** A cause in the reader's language. Edges join several by "; ". */
export function causeOf(text: string): string {
  return text.split("; ").map(one).join(t("cause.and"));
}
