import { describe, expect, it } from "vitest";
import en from "../i18n/video.en.json";
import { causeOfWords, refusal } from "./causes";

// Sentences as hub/internal/relay, hub/internal/app, hub/internal/web and edge/internal/app make them.
const said: [string, string][] = [
  ["the hub serves its limit of 500 viewers", "hub.full"],
  ["the hub is stopping", "hub.stopping"],
  ["there is no such camera", "camera.none"],
  ["gate-7 has no camera yard", "camera.none"],
  ["there is no such incident", "incident.none"],
  ["there is no edge gate-7", "site.none"],
  ["the edge gate-7 is not connected", "site.offline"],
  ["the edge gate-7 does not answer", "site.silent"],
  ["the edge does not answer", "site.silent"],
  ["the edge has not begun to send within 10s", "site.slow"],
  ["this edge already sends 16 cameras, and no more at a time", "site.full"],
  ["the edge is stopping", "site.stopping"],
  ["yard is offline: the camera refuses the user name or password (401)", "camera.offline"],
  ["yard is offline: connected, but no pictures for 10 s", "camera.offline"],
  ["bridge is unknown: not heard of since the edge started", "camera.unknown"],
  ["the picture from the edge ended: connected, but no pictures for 10 s", "camera.silent"],
  ["the picture from the edge ended: the connection was lost", "site.lost"],
  ["the picture from the edge ended: the other side closed the connection", "site.stopping"],
  ["the camera's coding has changed", "camera.coding"],
  ["no coding in common: the camera sends H265, which the offer does not have", "codec"],
  ["the time limit of 10m0s was reached", "over"],
  ["nobody is watching", "elsewhere"],
  ["the viewer could not be reached: no connection came about within 15 s", "line.never"],
  ["the connection to the viewer was lost", "line.lost"],
];

describe("a sentence of the hub or a site", () => {
  it.each(said)("%s", (words, code) => expect(causeOfWords(words).code).toBe(code));
  it("keeps its figures and its own cause", () => {
    expect(causeOfWords("the edge has not begun to send within 10s").n).toBe(10);
    expect(causeOfWords("yard is offline: the lens fell off").detail).toBe("the lens fell off");
  });
  it("that is not known is shown as it is", () => expect(causeOfWords("the moon is too bright")).toEqual({ code: "told", detail: "the moon is too bright" }));
  it("has words", () => {
    for (const [words, code] of said) if (code !== "told") expect(Object.keys(en), words).toContain(`video.cause.${code}`);
  });
  it("is a refusal only when somebody said No", () => {
    expect(refusal(causeOfWords("the picture from the edge ended: the connection was lost"))).toBeNull();
    expect(refusal(causeOfWords("yard is offline: x"))).toBe("for now");
    expect(refusal({ code: "role" })).toBe("for good");
  });
});
