// What stands in the list beside the map. Pure.
import type { Device, Incident } from "../../api/types";
import { incidentTitle, named } from "../../i18n/words";
import { type Box, within } from "../../map/geo";

/** Those in sight, or, when something was typed, those that are called that, wherever they stand. */
export function pick<T extends { place: Device["place"] }>(list: readonly T[], box: Box | null, typed: string, name: (item: T) => string): T[] {
  const words = typed.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  return list.filter((item) => {
    if (!item.place) return false;
    if (words.length === 0) return !box || within(item.place, box);
    const text = name(item).toLocaleLowerCase();
    return words.every((w) => text.includes(w));
  });
}

/** The rows that are drawn of so many, when those between top and top + height (px) are seen. */
export function drawnRows(all: number, top: number, height: number, row: number, spare = 6): [from: number, to: number] {
  return [Math.max(0, Math.min(all, Math.floor(top / row)) - spare), Math.min(all, Math.ceil((top + height) / row) + spare)];
}

export const incidentName = (i: Incident): string => `${incidentTitle(i)} ${named(i.device)} ${i.id}`;
export const deviceName = (d: Device): string => `${named(d.name)} ${d.name} ${d.edge}`;
