// The one way to the hub. Every answer that is not a success is an ApiError; nobody else calls fetch,
// but src/video for WHEP (through send) and state/link for the live stream.

/** What the hub refused or could not do, or, with status 0, that it could not be reached. */
export class ApiError extends Error {
  constructor(
    /** HTTP status; 0: nothing answered, or not in time */
    readonly status: number,
    readonly title: string,
    /** in English, from the hub; may be empty. Show errorText(error) to people. */
    readonly detail = "",
    /** seconds to wait, from Retry-After */
    readonly retryAfter: number | null = null,
    readonly timeout = false,
    /** the detail as a code with parameters; null for a refusal that has none beside its status */
    readonly reason: Reason | null = null,
  ) {
    super(detail || title);
    this.name = "ApiError";
  }
}

/** Why something failed: a code of the hub's registries, its parameters, and its sentence in English. */
export interface Reason {
  code: string;
  params?: Record<string, string> | undefined;
  text: string;
}

export interface Options {
  body?: unknown; // sent as JSON
  raw?: { text: string; type: string }; // sent as it is, instead of body
  query?: Record<string, string | number | boolean | Date | null | undefined>; // empty values are left out
  headers?: Record<string, string>; // besides those that every request has
  signal?: AbortSignal;
  keepalive?: boolean;
  timeout?: number; // ms; 15 s unless given
  endless?: boolean; // the answer's body does not end: the timeout is for its beginning
}

const patience = 15_000; // ms

type Listener = () => void;
const signedOut = new Set<Listener>();
const clockListeners = new Set<(hubTime: number, took: number) => void>();

/** Calls f when the hub says that nobody is signed in (401). Returns what ends that. */
export function onSignedOut(f: Listener): Listener {
  signedOut.add(f);
  return () => signedOut.delete(f);
}

/** Calls f with the hub's clock (ms, whole seconds) and how long the answer took (ms). */
export function onHubTime(f: (hubTime: number, took: number) => void): Listener {
  clockListeners.add(f);
  return () => clockListeners.delete(f);
}

/** Adds the values of query that are not empty to a path. */
export function withQuery(path: string, query: Options["query"] = {}): string {
  const q = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "") continue;
    q.set(key, value instanceof Date ? value.toISOString() : String(value));
  }
  const text = q.toString();
  return text ? `${path}?${text}` : path;
}

/** The response as it is; throws ApiError unless it is a success. */
export async function send(method: string, path: string, o: Options = {}): Promise<Response> {
  const headers = new Headers({ Accept: "application/json, application/problem+json, */*;q=0.1", ...o.headers });
  let body: string | undefined;
  if (o.raw) {
    body = o.raw.text;
    headers.set("Content-Type", o.raw.type);
  } else if (o.body !== undefined) {
    body = JSON.stringify(o.body);
    headers.set("Content-Type", "application/json");
  }
  const late = new AbortController();
  const timer = o.endless ? setTimeout(() => late.abort(), o.timeout ?? patience) : undefined;
  const limit = o.endless ? late.signal : AbortSignal.timeout(o.timeout ?? patience);
  const signal = o.signal ? AbortSignal.any([o.signal, limit]) : limit;
  const began = performance.now();
  let response: Response;
  try {
    response = await fetch(withQuery(path, o.query), {
      method, headers, body: body ?? null, signal, keepalive: o.keepalive ?? false,
      credentials: "same-origin", cache: "no-store", redirect: "error",
    });
  } catch (error) {
    if (o.signal?.aborted) throw error; // the caller's own wish, an AbortError
    throw new ApiError(0, limit.aborted ? "no answer in time" : "the hub cannot be reached", "", null, limit.aborted);
  } finally {
    clearTimeout(timer);
  }
  const date = Date.parse(response.headers.get("Date") ?? "");
  if (!Number.isNaN(date)) for (const f of clockListeners) f(date, performance.now() - began);
  if (!response.ok) throw await refusal(method, path, response);
  return response;
}

async function refusal(method: string, path: string, response: Response): Promise<ApiError> {
  let title = response.statusText;
  let detail = "";
  let reason: ApiError["reason"] = null;
  try {
    const problem: unknown = await response.json();
    if (typeof problem === "object" && problem !== null) {
      const p = problem as { title?: unknown; detail?: unknown; code?: unknown; params?: Record<string, string> };
      if (typeof p.title === "string") title = p.title;
      if (typeof p.detail === "string") detail = p.detail;
      if (typeof p.code === "string" && p.code) reason = { code: p.code, params: p.params, text: detail };
    }
  } catch {
    /* no JSON: the status says enough */
  }
  const signingIn = method === "POST" && path === "/api/v1/session";
  const atHub = path.startsWith("/"); // a relay knows nothing of the session
  if (response.status === 401 && atHub && !signingIn) for (const f of signedOut) f();
  const after = Number(response.headers.get("Retry-After"));
  return new ApiError(response.status, title, detail, after > 0 ? after : null, false, reason);
}

async function json<T>(method: string, path: string, o?: Options): Promise<T> {
  const response = await send(method, path, o);
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

export const api = {
  get: <T>(path: string, o?: Options) => json<T>("GET", path, o),
  post: <T = void>(path: string, body?: unknown, o?: Options) => json<T>("POST", path, { ...o, body }),
  put: <T = void>(path: string, body?: unknown, o?: Options) => json<T>("PUT", path, { ...o, body }),
  delete: <T = void>(path: string, o?: Options) => json<T>("DELETE", path, o),
};

/** Joins the parts of a path, each escaped. path`/api/v1/incidents/${id}/close` */
export function path(parts: TemplateStringsArray, ...values: (string | number)[]): string {
  return parts.reduce((all, part, i) => all + encodeURIComponent(String(values[i - 1] ?? "")) + part);
}

/** Fetches all pages of a list: the entries of the member key of each answer. */
export async function listAll<T, K extends string>(path: string, key: K, signal?: AbortSignal): Promise<T[]> {
  const all: T[] = [];
  for (let next: string | null = null; ;) {
    const page: Record<K, T[]> & { next: string | null } = await api.get(path, { query: { limit: 500, next }, ...(signal && { signal }) });
    all.push(...page[key]);
    if (!page.next) return all;
    next = page.next;
  }
}
