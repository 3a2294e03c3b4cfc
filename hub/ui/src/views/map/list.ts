// What stands in the list beside the map. Pure.
import type { Device, Incident } from "../../api/types";
import { deviceWords, incidentWords } from "../../i18n/names";
import { incidentTitle } from "../../i18n/words";
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

export const incidentName = (i: Incident): string => `${incidentTitle(i)} ${incidentWords(i)} ${i.id}`;
export const deviceName = (d: Device): string => deviceWords(d);
