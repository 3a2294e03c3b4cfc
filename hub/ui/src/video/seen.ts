// What is looked at of a machine, four times a second: Svelte sees these copies, not what changes with every frame.
import type { Machine, Phase } from "./machine";

export function look(m: Machine | null, now: number) {
  return {
    phase: m?.phase ?? ("idle" satisfies Phase), step: m?.step ?? null, cause: m?.cause ?? null, retryAt: m && "retryAt" in m.state ? m.state.retryAt : null,
    now, age: m?.age() ?? null, last: m?.last ?? null, since: m?.since ?? 0, left: m?.left ?? null, renewing: m?.renewing ?? false,
    way: m?.way ?? "webrtc", wayCause: m?.wayCause ?? null,
  };
}

export type Seen = ReturnType<typeof look>;
