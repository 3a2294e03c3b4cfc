// What stands in the list beside the map. Pure.
import type { Device, Incident } from "../../api/types";
import { incidentTitle, named } from "../../i18n/words";
import { type Box, within } from "../../map/geo";

/** The most that are shown at once; the map narrows them down. */
export const most = 200;

export interface Found<T> {
  shown: T[];
  all: number;
}

/** Those in sight, or, when something was typed, those that are called that, wherever they stand. */
export function pick<T extends { place: Device["place"] }>(list: readonly T[], box: Box | null, typed: string, name: (item: T) => string): Found<T> {
  const words = typed.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const shown: T[] = [];
  let all = 0;
  for (const item of list) {
    if (!item.place) continue;
    if (words.length === 0) {
      if (box && !within(item.place, box)) continue;
    } else {
      const text = name(item).toLocaleLowerCase();
      if (!words.every((w) => text.includes(w))) continue;
    }
    all += 1;
    if (shown.length < most) shown.push(item);
  }
  return { shown, all };
}

export const incidentName = (i: Incident): string => `${incidentTitle(i)} ${named(i.device)} ${i.id}`;
export const deviceName = (d: Device): string => `${named(d.name)} ${d.name} ${d.edge}`;
