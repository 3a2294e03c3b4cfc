// What a wall shows, as its address says it: /wall?n=4&cams=edge/device,,edge/device&why=... Pure.
export const layouts = [1, 4, 9] as const;
export type Layout = (typeof layouts)[number];

export interface Cam {
  edge: string;
  device: string;
}

export type Slots = (Cam | null)[];

const name = /^[a-z0-9-]{1,40}$/;

/** The tiles of an address, as many as the layout has. What is no camera's name is a free tile. */
export function read(cams: string | null, n: string | null): { layout: Layout; slots: Slots } {
  const found: Slots = (cams ?? "").split(",").map((part) => {
    const [edge = "", device = "", ...rest] = part.split("/");
    return name.test(edge) && name.test(device) && rest.length === 0 ? { edge, device } : null;
  });
  found.forEach((c, i) => {
    if (c && found.findIndex((x) => x?.edge === c.edge && x.device === c.device) < i) found[i] = null; // a camera stands on one tile
  });
  while (found.length > 0 && found[found.length - 1] === null) found.pop();
  const layout = layouts.find((l) => String(l) === n) ?? layouts.find((l) => l >= found.length) ?? 9;
  return { layout, slots: Array.from({ length: layout }, (_, i) => found[i] ?? null) };
}

/** The tiles as the address has them; "" for none. */
export function write(slots: Slots): string {
  return slots.map((c) => (c ? `${c.edge}/${c.device}` : "")).join(",").replace(/,+$/, "");
}

/** The tiles with one changed. A camera stands on one tile only: it moves. */
export function put(slots: Slots, at: number, cam: Cam | null): Slots {
  return slots.map((c, i) => (i === at ? cam : c && cam && c.edge === cam.edge && c.device === cam.device ? null : c));
}
