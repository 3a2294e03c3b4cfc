// What people call sites, devices and rules: their titles in the reader's language, else in the other
// one, else their identifiers. Titles are written as within a sentence; alone, they begin with a capital.
import type { Device, Incident, Rule, Title } from "../api/types";
import { devices } from "../state/devices.svelte";
import { prefs } from "../state/prefs.svelte";

/** A name made for machines as people read it: river-gauge -> river gauge. */
export const named = (name: string): string => name.replaceAll("-", " ");

export function capital(text: string): string {
  return text.charAt(0).toLocaleUpperCase() + text.slice(1);
}

/** A title as within a sentence. */
export function inSentence(title: Title | undefined, name: string): string {
  const own = prefs.language === "en" ? title?.en || title?.zh : title?.zh || title?.en;
  return own || named(name);
}

/** A title that stands alone: in a list, on a button. */
export const alone = (title: Title | undefined, name: string): string => (title?.en || title?.zh ? capital(inSentence(title, name)) : named(name));

export const deviceTitle = (d: Device): string => alone(d.title, d.name);
export const ruleTitle = (r: Rule): string => alone(r.title, r.name);

/** A name that the lists of edges and devices have not brought: nothing yet while they are on their way. */
const missing = (name: string): string => (devices.loaded || devices.error ? named(name) : "…");

/** What the site of an edge is called. */
export function siteName(edge: string): string {
  const e = devices.edge(edge);
  return e ? alone(e.title, edge) : missing(edge);
}

export function deviceName(edge: string, device: string): string {
  const d = devices.get(edge, device);
  return d ? deviceTitle(d) : missing(device);
}

export function ruleName(edge: string, device: string, rule: string): string {
  const d = devices.get(edge, device);
  return d ? alone(d.rules?.find((r) => r.name === rule)?.title, rule) : missing(rule);
}

// An incident keeps the names that it had: its device may be gone.
export const incidentSite = (i: Incident): string => (i.edge_title ? alone(i.edge_title, i.edge) : siteName(i.edge));
export const incidentDevice = (i: Incident): string => (i.device_title ? alone(i.device_title, i.device) : deviceName(i.edge, i.device));

export const incidentRule = (i: Incident): string => (i.rule_title ? alone(i.rule_title, i.rule) : ruleName(i.edge, i.device, i.rule));

/** Everything by which a device is found: its names and those of its site, in both languages. */
export function deviceWords(d: Device): string {
  const site = devices.edge(d.edge)?.title;
  return [d.name, named(d.name), d.title?.en, d.title?.zh, d.edge, named(d.edge), site?.en, site?.zh].filter(Boolean).join(" ");
}

/** Everything that an incident's site, device and rule are called, in both languages. */
export function incidentWords(i: Incident): string {
  return [i.edge_title, i.device_title, i.rule_title].flatMap((title) => [title?.en, title?.zh]).concat(i.edge, i.device, i.rule).filter(Boolean).join("\n");
}
