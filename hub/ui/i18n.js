// Words of the page, from messages.{en,zh-CN}.json. No text for people is anywhere else.

const languages = ["en", "zh-CN"];
let messages = {};
let fallback = {};
let language = "en";

async function load(name) {
  const response = await fetch(`messages.${name}.json`);
  if (!response.ok) throw new Error(`messages.${name}.json: ${response.status}`);
  return response.json();
}

// preferred is what the person chose before, else the browser's language.
export function preferred() {
  let chosen = null;
  try {
    chosen = localStorage.getItem("gridpost.language");
  } catch { /* storage can be forbidden; then the choice lasts as long as the page */ }
  if (languages.includes(chosen)) return chosen;
  for (const l of navigator.languages ?? []) {
    if (l.toLowerCase().startsWith("zh")) return "zh-CN";
    if (l.toLowerCase().startsWith("en")) return "en";
  }
  return "en";
}

// use loads a language and puts it into every element that names a message.
export async function use(name) {
  if (!Object.keys(fallback).length) fallback = await load("en");
  messages = name === "en" ? fallback : await load(name);
  language = name;
  try {
    localStorage.setItem("gridpost.language", name);
  } catch { /* see above */ }
  document.documentElement.lang = name;
  for (const el of document.querySelectorAll("[data-text]")) el.textContent = t(el.dataset.text);
}

// has says whether there is a message of that key.
export const has = (key) => key in messages || key in fallback;

// t returns a message with its {names} filled in.
export function t(key, values = {}) {
  const text = messages[key] ?? fallback[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// word translates a code of the hub, or shows it as it came.
export const word = (prefix, code) => (has(`${prefix}.${code}`) ? t(`${prefix}.${code}`) : code ?? "");

const number = (n, digits = 2) => new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(n);

export { number };

export function metres(m) {
  return m >= 1000 ? `${number(m / 1000, 1)} km` : `${number(m, 0)} m`;
}

// time writes a moment by the clock of the person's machine; the day only when it is not today.
export function time(text) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return "";
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
  const today = at.toDateString() === new Date().toDateString();
  const day = today ? {} : { year: "numeric", month: "2-digit", day: "2-digit" };
  return new Intl.DateTimeFormat(language, { ...day, ...clock }).format(at);
}
