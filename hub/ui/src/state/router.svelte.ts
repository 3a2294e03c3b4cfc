// Addresses. The hub answers every path of the console with index.html; this finds the view.
export type Route =
  | { name: "incidents"; params: Record<string, never> }
  | { name: "incident"; params: { id: string } }
  | { name: "print"; params: { id: string } }
  | { name: "map"; params: Record<string, never> }
  | { name: "wall"; params: Record<string, never> }
  | { name: "devices"; params: Record<string, never> }
  | { name: "device"; params: { edge: string; device: string } }
  | { name: "report"; params: Record<string, never> }
  | { name: "admin"; params: { page: AdminPage } }
  | { name: "welcome"; params: Record<string, never> }
  | { name: "screen"; params: Record<string, never> } // the second window: see state/follow.svelte.ts
  | { name: "missing"; params: { path: string } };

export const adminPages = ["users", "tokens", "edges", "webhooks", "views", "audit"] as const;
export type AdminPage = (typeof adminPages)[number];

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The route of a path, without its query. Pure. */
export function match(path: string): Route {
  const parts = path.split("/").filter(Boolean).map(decoded);
  const [first, second, third] = parts;
  const n = parts.length;
  if (n === 0) return { name: "incidents", params: {} };
  if (first === "incidents" && n === 1) return { name: "incidents", params: {} };
  if (first === "incidents" && n === 2) return { name: "incident", params: { id: second! } };
  if (first === "incidents" && n === 3 && third === "print") return { name: "print", params: { id: second! } };
  if (first === "devices" && n === 1) return { name: "devices", params: {} };
  if (first === "devices" && n === 3) return { name: "device", params: { edge: second!, device: third! } };
  if (first === "admin" && n === 1) return { name: "admin", params: { page: "users" } };
  // "boxes" is what edges were called in addresses before; bookmarks still lead there.
  const page = adminPages.find((p) => p === (second === "boxes" ? "edges" : second));
  if (first === "admin" && n === 2 && page) return { name: "admin", params: { page } };
  if (n === 1 && (first === "map" || first === "wall" || first === "report" || first === "welcome" || first === "screen")) return { name: first, params: {} };
  return { name: "missing", params: { path } };
}

export interface NavigateOptions {
  replace?: boolean; // no new step for the browser's back
  keepFocus?: boolean; // the view stays as it is, only its query changes
}

class Router {
  path = $state("/");
  /** the query, without "?" */
  search = $state("");
  hash = $state("");
  readonly route: Route = $derived(match(this.path));
  readonly query: URLSearchParams = $derived(new URLSearchParams(this.search));
  /** grows with each change of the view (not of its query); App moves the focus then */
  visits = $state(0);

  /** Follows the address bar and links. Returns what ends that. */
  start(): () => void {
    this.#read();
    const back = () => {
      const before = this.path;
      this.#read();
      if (before !== this.path) this.visits += 1;
    };
    addEventListener("popstate", back);
    document.addEventListener("click", follow);
    return () => {
      removeEventListener("popstate", back);
      document.removeEventListener("click", follow);
    };
  }

  #read(): void {
    this.path = location.pathname;
    this.search = location.search.slice(1);
    this.hash = location.hash.slice(1);
  }

  /** Goes to a path with or without a query. Going where one is already adds no step. */
  navigate(to: string, o: NavigateOptions = {}): void {
    const url = new URL(to, location.href);
    const here = location.pathname + location.search + location.hash;
    const there = url.pathname + url.search + url.hash;
    const before = this.path;
    if (o.replace) history.replaceState(history.state, "", there);
    else if (here !== there) history.pushState(null, "", there);
    this.#read();
    if (!o.keepFocus && before !== this.path) this.visits += 1;
  }

  /** Changes values of the query; null or "" takes one out. Replaces the step unless told otherwise. */
  setQuery(change: Record<string, string | null>, o: { replace?: boolean } = {}): void {
    const q = new URLSearchParams(this.search);
    for (const [key, value] of Object.entries(change)) {
      if (value === null || value === "") q.delete(key);
      else q.set(key, value);
    }
    // Commas and slashes are allowed in a query, and addresses with them can be read.
    const text = q.toString().replaceAll("%2C", ",").replaceAll("%2F", "/");
    this.navigate(this.path + (text ? `?${text}` : ""), { replace: o.replace ?? true, keepFocus: true });
  }
}

/** Takes a click on a link of the console's own; all others are the browser's. */
function follow(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest?.("a[href]");
  if (!(link instanceof HTMLAnchorElement)) return;
  if (link.target && link.target !== "_self") return;
  if (link.hasAttribute("download") || link.origin !== location.origin) return;
  if (/^\/(api|whep|openapi\.json|metrics|healthz|readyz)(\/|$)/.test(link.pathname)) return;
  event.preventDefault();
  router.navigate(link.pathname + link.search + link.hash);
}

export const router = new Router();
export const navigate = (to: string, o?: NavigateOptions): void => router.navigate(to, o);

/** Addresses, so that nobody puts them together by hand. */
export const to = {
  incidents: (query = "") => `/incidents${query && `?${query}`}`,
  incident: (id: string) => `/incidents/${encodeURIComponent(id)}`,
  print: (id: string) => `/incidents/${encodeURIComponent(id)}/print`,
  device: (edge: string, device: string) => `/devices/${encodeURIComponent(edge)}/${encodeURIComponent(device)}`,
  map: (lat?: number, lon?: number, zoom = 17, select = "") =>
    lat === undefined || lon === undefined
      ? `/map${select && `?select=${select}`}`
      : `/map?at=${lat.toFixed(5)},${lon.toFixed(5)},${zoom}${select && `&select=${select}`}`,
  wall: (cams: { edge: string; device: string }[]) => `/wall?cams=${cams.map((c) => `${encodeURIComponent(c.edge)}/${encodeURIComponent(c.device)}`).join(",")}`,
  admin: (page: AdminPage) => `/admin/${page}`,
};
