// The TURN servers that the hub names in the header Link (RFC 9725, section 4.6).

export function iceServers(link: string): RTCIceServer[] {
  const all: RTCIceServer[] = [];
  for (const [, url, rest] of link.matchAll(/<([^>]*)>((?:\s*;\s*[\w-]+\s*=\s*(?:"[^"]*"|[^",;\s]+))*)/g)) {
    const parameters = new Map([...rest!.matchAll(/([\w-]+)\s*=\s*(?:"([^"]*)"|([^",;\s]+))/g)].map(([, name, quoted, bare]) => [name!.toLowerCase(), quoted ?? bare ?? ""]));
    if (parameters.get("rel") !== "ice-server" || !/^(stun|turn)s?:/.test(url!)) continue;
    const username = parameters.get("username");
    const credential = parameters.get("credential");
    all.push({ urls: url!, ...(username !== undefined && credential !== undefined && { username, credential }) });
  }
  return all;
}
