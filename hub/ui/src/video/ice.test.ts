import { expect, it } from "vitest";
import { iceServers } from "./ice";

it("reads the TURN servers and their credentials", () => {
  const one = '<turn:hub.example:3478?transport=udp>; rel="ice-server"; username="1:a,b;c"; credential="x+/="; credential-type="password"';
  expect(iceServers(`${one}, <https://hub.example/next>; rel="next", <stun:hub.example>;rel=ice-server`)).toEqual([
    { urls: "turn:hub.example:3478?transport=udp", username: "1:a,b;c", credential: "x+/=" },
    { urls: "stun:hub.example" },
  ]);
  expect(iceServers("")).toEqual([]);
  expect(iceServers('<http://evil>; rel="ice-server"')).toEqual([]);
});
