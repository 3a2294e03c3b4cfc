// The hub's API: requests with a time limit, and errors in words.

import { t, has } from "./i18n.js";

const patience = 20_000; // ms

// Refusal is an answer that is not what was asked for, or no answer (status 0).
export class Refusal extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

// request resolves to a Response whose status is 2xx and rejects with a Refusal.
export async function request(method, path, { body, type = "application/json", keepalive = false, signal } = {}) {
  const limit = AbortSignal.timeout(patience);
  const headers = body === undefined ? {} : { "Content-Type": type };
  let response;
  try {
    response = await fetch(path, {
      method, body, headers, keepalive, credentials: "same-origin",
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refusal(0, t(limit.aborted ? "error.timeout" : "error.network"));
  }
  if (!response.ok) throw new Refusal(response.status, await words(response));
  return response;
}

// words says what an error answer means: the hub's own detail (RFC 9457) after a general word.
async function words(response) {
  const key = `error.${response.status}`;
  const general = has(key) ? t(key) : t("error.other", { status: response.status });
  if (!response.headers.get("Content-Type")?.includes("json")) return general;
  try {
    const problem = await response.json();
    return problem.detail && response.status !== 401 ? `${general} ${problem.detail}` : general;
  } catch {
    return general;
  }
}

export async function get(path) {
  return (await request("GET", path)).json();
}

export async function post(path, data = {}) {
  const response = await request("POST", path, { body: JSON.stringify(data) });
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}
