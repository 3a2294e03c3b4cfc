// Addresses that people type: what is wrong with them, in words that say what to do. Pure.
import type { Key, Params } from "../../i18n/i18n.svelte";

export interface Fault {
  key: Key;
  params?: Params;
}

const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;

/** Whether a text is a host name, an IPv4 address or an IPv6 address in brackets. */
export function isHost(host: string): boolean {
  if (host.startsWith("[")) return /^\[[0-9a-f:.]+\]$/i.test(host) && URL.canParse(`https://${host}/`);
  if (/^[\d.]+$/.test(host)) return /^\d{1,3}(\.\d{1,3}){3}$/.test(host) && host.split(".").every((n) => Number(n) < 256);
  const name = host.endsWith(".") ? host.slice(0, -1) : host;
  return name.length > 0 && name.length <= 253 && name.split(".").every((part) => label.test(part));
}

/** What is wrong with the part of an address that has host and port; null: nothing. */
function hostFault(authority: string, example: string): Fault | null {
  if (authority.includes("@")) return { key: "address.user" };
  const colons = authority.split(":").length - 1;
  if (colons > 1 && !authority.startsWith("[")) return { key: "address.host", params: { host: authority } }; // IPv6 needs brackets
  const [, host, port] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/s.exec(authority) ?? [];
  if (host === undefined) return { key: "address.host", params: { host: authority } };
  if (host === "") return { key: "address.noHost", params: { example } };
  if (!isHost(host)) return { key: "address.host", params: { host } };
  return port === undefined || (/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535) ? null : { key: "address.port" };
}

function split(address: string): { scheme: string; authority: string; rest: string } {
  const [, scheme = "", authority = "", rest = ""] = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(.*)$/is.exec(address) ?? [];
  return { scheme: scheme.toLowerCase(), authority, rest };
}

/**
 * What is wrong with the address at which an edge reaches the hub; null: nothing. A command is made of the address, so
 * nothing is let through but https://, a host and a port.
 */
export function hubFault(typed: string): Fault | null {
  const address = typed.trim();
  if (address === "") return { key: "address.empty" };
  if (/\s/.test(address)) return { key: "address.spaces" };
  const { scheme, authority, rest } = split(address);
  if (scheme !== "https") return { key: "address.scheme" };
  return hostFault(authority, "https://hub.town.example:8443") ?? (rest === "" || rest === "/" ? null : { key: "address.path" });
}

const schemes = { webhook: ["https", "http"], cap: ["https", "http"], mqtt: ["mqtts", "mqtt"] } as const;

/** What is wrong with the address of a target of alerts; null: nothing that can be told before the hub has looked. */
export function targetFault(kind: keyof typeof schemes, typed: string): Fault | null {
  const address = typed.trim();
  const example = kind === "mqtt" ? "mqtts://broker.example:8883" : "https://receiver.example/alerts";
  if (/\s/.test(address)) return { key: "address.spaces" };
  const { scheme, authority } = split(address);
  const known: readonly string[] = schemes[kind];
  if (!known.includes(scheme)) return { key: "address.schemes", params: { schemes: `${known[0]}://` } };
  if (/[^ -~]/.test(authority)) return URL.canParse(address) ? null : { key: "address.invalid", params: { example } }; // a name in another script
  return hostFault(authority, example);
}
