import { describe, expect, it } from "vitest";
import { enrolCommand, hubAddress, isLoopback, nameFrom } from "./edge";
import { newPassword } from "./secret";

describe("edge", () => {
  it("finds the hub's address", () => {
    expect(hubAddress("0.0.0.0:8443", "hub.town.example")).toBe("https://hub.town.example:8443");
    expect(hubAddress("[::]:8443", "10.0.0.7")).toBe("https://10.0.0.7:8443");
    expect(hubAddress("192.168.1.5:9000", "hub")).toBe("https://192.168.1.5:9000");
    expect(hubAddress("[fd00::1]:9000", "hub")).toBe("https://[fd00::1]:9000");
    expect(hubAddress("[::]:9000", "[fd00::1]")).toBe("https://[fd00::1]:9000");
    expect(enrolCommand(" https://hub:1 ", "abc")).toBe("edge enrol https://hub:1 abc");
  });
  it("knows an address that only its own machine reaches", () => {
    expect(["127.0.0.1:1", "[::1]:1", "localhost:1"].map(isLoopback)).toEqual([true, true, true]);
    expect(["0.0.0.0:1", "[::]:1", "10.0.0.1:1"].map(isLoopback)).toEqual([false, false, false]);
  });
  it("makes names of what is typed", () => {
    expect(nameFrom("Gate 7_North!")).toBe("gate-7-north");
    expect(nameFrom("x".repeat(60))).toHaveLength(40);
  });
  it("makes passwords that can be read aloud", () => {
    const all = new Set(Array.from({ length: 50 }, newPassword));
    expect(all.size).toBe(50);
    for (const p of all) expect(p).toMatch(/^([a-hjkmnp-z2-9]{4}-){3}[a-hjkmnp-z2-9]{4}$/);
  });
});
