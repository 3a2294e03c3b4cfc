// How an edge finds its hub. Pure.

/** The host and port of "host:port", also of "[::]:8443". */
function split(listen: string): { host: string; port: string } {
  const at = listen.lastIndexOf(":");
  return { host: listen.slice(0, at).replace(/^\[|\]$/g, ""), port: listen.slice(at + 1) };
}

/** Whether the hub listens for edges on its own machine only. */
export function isLoopback(listen: string): boolean {
  const { host } = split(listen);
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

/** The address that an edge most probably reaches the hub at: the one that this page was reached at. */
export function hubAddress(listen: string, page: string): string {
  const { host, port } = split(listen);
  const any = host === "" || host === "0.0.0.0" || host === "::";
  const name = any ? page : host;
  return `https://${name.includes(":") && !name.startsWith("[") ? `[${name}]` : name}:${port}`;
}

/** What is run on the edge. The address has been checked (address.ts); shells take brackets for a pattern. */
export function enrolCommand(address: string, token: string): string {
  const url = address.trim();
  return `edge enrol ${url.includes("[") ? `'${url}'` : url} ${token}`;
}

/** What is typed as a name, as names are: [a-z0-9-], at most 40. */
export function nameFrom(typed: string): string {
  return typed.toLowerCase().replace(/[\s_.]+/g, "-").replace(/[^a-z0-9-]/g, "").slice(0, 40);
}
