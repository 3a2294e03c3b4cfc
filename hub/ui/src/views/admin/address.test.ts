import { describe, expect, it } from "vitest";
import { hubFault, isHost, targetFault } from "./address";
import { enrolCommand } from "./edge";

const key = (f: ReturnType<typeof hubFault>) => f?.key ?? "";

describe("the address at which an edge reaches the hub", () => {
  it.each([
    "https://hub.town.example:8443", " https://hub:1 ", "https://10.0.0.7:65535", "https://[fd00::1]:8443/", "https://hub.town.example", "HTTPS://Hub.Town.Example.:8443",
  ])("may be %s", (address) => expect(hubFault(address)).toBeNull());

  it.each([
    ["", "address.empty"],
    ["  ", "address.empty"],
    ["https://hub town:8443", "address.spaces"],
    ["hub.town.example:8443", "address.scheme"],
    ["http://hub:8443", "address.scheme"],
    ["https://", "address.noHost"],
    ["https://:8443", "address.noHost"],
    ["https://hub_1:8443", "address.host"],
    ["https://-hub:8443", "address.host"],
    ["https://256.0.0.1:8443", "address.host"],
    ["https://10.0.0:8443", "address.host"],
    ["https://fd00::1:8443", "address.host"],
    ["https://[fd00::zz]:8443", "address.host"],
    ["https://[fd00::1:8443", "address.host"],
    ["https://hub;reboot", "address.host"],
    ["https://$(reboot):8443", "address.host"],
    ["https://hub:8443;reboot", "address.port"],
    ["https://hub:0", "address.port"],
    ["https://hub:65536", "address.port"],
    ["https://hub:", "address.port"],
    ["https://me:secret@hub:8443", "address.user"],
    ["https://hub:8443/path", "address.path"],
    ["https://hub:8443?x=`reboot`", "address.path"],
    ["https://hub:8443#x", "address.path"],
  ])("is not %s", (address, want) => expect(key(hubFault(address))).toBe(want));

  it("lets no sign through that a shell takes for something else", () => {
    let seed = 7;
    const random = (n: number) => (seed = (seed * 48_271) % 2_147_483_647) % n;
    const pieces = ["https://", "http://", "hub", ".", "-", ":", "8443", "/", "[", "]", "fd00::1", "@", "?", "#", "$(x)", "`x`", ";", "&", "|", "'", '"', "\\", "\n", " ", "*", "~", "{a,b}", "中"];
    let passed = 0;
    for (let i = 0; i < 40_000; i += 1) {
      const address = (random(2) ? "https://" : "") + Array.from({ length: 1 + random(5) }, () => pieces[random(pieces.length)]!).join("");
      if (hubFault(address)) continue;
      passed += 1;
      expect(enrolCommand(address, "token")).toMatch(/^edge enrol (https:\/\/[a-z0-9.:-]+\/?|'https:\/\/\[[0-9a-f:.]+\](:\d+)?\/?') token$/i);
    }
    expect(passed).toBeGreaterThan(100);
  });
});

describe("the address of a target", () => {
  it.each([
    ["webhook", "https://receiver.example/alerts?key=a%20b"], ["webhook", "http://10.0.0.7:8080/"], ["cap", "https://receiver.example"],
    ["mqtt", "mqtts://broker.example:8883"], ["mqtt", "mqtt://broker.example"], ["webhook", "https://平台.例子/告警"],
  ] as const)("may be, for %s, %s", (kind, address) => expect(targetFault(kind, address)).toBeNull());

  it.each([
    ["webhook", "receiver.example", "address.schemes"],
    ["webhook", "ftp://receiver.example", "address.schemes"],
    ["webhook", "https:/receiver.example", "address.schemes"],
    ["mqtt", "https://broker.example", "address.schemes"],
    ["webhook", "https://receiver example", "address.spaces"],
    ["webhook", "https://", "address.noHost"],
    ["webhook", "https:///alerts", "address.noHost"],
    ["webhook", "https://receiver..example", "address.host"],
    ["webhook", "https://receiver.example:99999/", "address.port"],
    ["webhook", "https://me:secret@receiver.example/", "address.user"],
  ] as const)("is not, for %s, %s", (kind, address, want) => expect(key(targetFault(kind, address))).toBe(want));
});

it("knows hosts", () => {
  expect(["a", "a-b.c", "1.2.3.4", "[::1]", `${"a".repeat(63)}.example`].every(isHost)).toBe(true);
  expect(["", ".", "a..b", "a-", "1.2.3", "1.2.3.4.5", "::1", "[::1", "a".repeat(64), `${"a.".repeat(130)}a`].some(isHost)).toBe(false);
});
