import { describe, expect, it } from "vitest";
import { Ages, HubClock, rtpDifference } from "./age";

const ntp = 2_208_988_800_000;
const origin = 1_800_000_000_000; // the page began then, by a clock that is an hour behind the hub's
const hub = (page: number) => origin + page + 3_600_000;

function report(page: number, way: number, trip: number): [string, unknown][] {
  return [
    ["o", { type: "remote-outbound-rtp", timestamp: origin + page, remoteTimestamp: hub(page - way) }],
    ["p", { type: "candidate-pair", state: "succeeded", nominated: true, currentRoundTripTime: trip / 1000 }],
    ["q", { type: "candidate-pair", state: "waiting", currentRoundTripTime: 9 }],
  ];
}

function made() {
  const clock = new HubClock();
  return { clock, ages: new Ages(clock, () => origin) };
}

describe("the age of a picture", () => {
  it("is counted from its receiving until more is known, and says so", () => {
    const { ages: a } = made();
    a.source({ rtpTimestamp: 1, captureTimestamp: hub(0) + ntp }, true);
    expect(a.moment({ receiveTime: 950, rtpTimestamp: 1 }, 1000)).toEqual({ at: 950, kind: "received" });
    expect(a.moment({}, 1000)).toEqual({ at: 1000, kind: "received" });
  });
  it("is true although this machine's clock is an hour wrong", () => {
    const { clock, ages: a } = made();
    clock.stats(report(5000, 90, 40), 0); // it waited on the way
    clock.stats(report(7000, 20, 40), 0);
    clock.stats(report(9000, 60, 40), 0);
    expect(clock.ahead).toBe(-3_600_000);
    a.source({ rtpTimestamp: 90_000, captureTimestamp: hub(9700) + ntp }, true);
    expect(a.moment({ rtpTimestamp: 90_000 }, 10_000)).toEqual({ at: 9700, kind: "taken" });
    // The next picture, 40 ms later, before it has been asked for anew.
    expect(a.moment({ rtpTimestamp: 93_600, receiveTime: 10_030 }, 10_040)).toEqual({ at: 9740, kind: "taken" });
  });
  it("is not counted on while time stamps are pressed together", () => {
    const { clock, ages: a } = made();
    clock.stats(report(5000, 20, 40), 0);
    a.source({ rtpTimestamp: 90_000, captureTimestamp: hub(5000) + ntp }, false);
    expect(a.moment({ rtpTimestamp: 180_000 }, 10_000)).toEqual({ at: 5000, kind: "taken" });
  });
  it("goes on over the end of the time stamps", () => {
    expect(rtpDifference(5, 0xffff_fffb)).toBeCloseTo(10 / 90);
    expect(rtpDifference(0xffff_fffb, 5)).toBeCloseTo(-10 / 90);
  });
  it("is never below nothing", () => {
    const { clock, ages: a } = made();
    clock.stats(report(5000, 0, 0), 0);
    a.source({ rtpTimestamp: 0, captureTimestamp: hub(6000) + ntp }, true);
    expect(a.moment({ rtpTimestamp: 0 }, 5500).at).toBe(5500);
  });
  it("is the browser's own where it knows it", () => {
    expect(made().ages.moment({ captureTime: 800, receiveTime: 950 }, 1000)).toEqual({ at: 800, kind: "taken" });
  });
});
