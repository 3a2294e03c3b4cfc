// The digital zoom of one picture or tile, and its keys.
import { t } from "../i18n/i18n.svelte";
import type { Command } from "../state/commands.svelte";
import { panned, resized, type Size, whole, zoomed, type ZoomView } from "./zoom";

export const step = 1.5; // of a key, a button or a notch of the wheel
const stride = 0.2; // of the frame, that an arrow key moves

export class Zoom {
  view: ZoomView = $state.raw(whole);
  /** all of the picture is shown, also where it would be cut to fill its frame */
  fitted = $state(false);
  #size: Size = $state.raw({ width: 0, height: 0 });

  get on(): boolean { return this.view.scale > 1; }

  /** of the frame, px */
  get size(): Size { return this.#size; }

  /** The frame has this size. */
  resize(size: Size): void {
    if (size.width === this.#size.width && size.height === this.#size.height) return;
    this.view = resized(this.view, this.#size, size);
    this.#size = size;
  }

  /** Enlarges by a factor, around a point of the frame or its middle. Smaller than filling is all of the picture. */
  by(factor: number, at = { x: this.#size.width / 2, y: this.#size.height / 2 }): void {
    if (factor > 1 && this.fitted) this.fitted = false;
    else if (factor < 1 && !this.on) this.fitted = true;
    else this.view = zoomed(this.view, factor, at, this.#size);
  }

  pan(dx: number, dy: number): void {
    this.view = panned(this.view, dx, dy, this.#size);
  }

  /** Moves what is seen by a part of the frame: 1 is to the right or down. */
  stride(right: number, down: number): void {
    this.pan(-right * stride * this.#size.width, -down * stride * this.#size.height);
  }

  reset(): void {
    this.view = whole;
    this.fitted = false;
  }
}

/** The keys of what is zoomed now. */
export function zoomCommands(target: () => Zoom | undefined): Command[] {
  const on = () => target()?.on ?? false;
  const arrow = (key: string, right: number, down: number): Command => ({
    id: `zoom.${key}`, group: "video", keys: [key], label: () => t(`zoom.${key as "ArrowLeft"}`), palette: false, when: on, run: () => target()?.stride(right, down),
  });
  return [
    { id: "zoom.in", group: "video", keys: ["+", "="], label: () => t("zoom.in"), when: () => !!target(), run: () => target()?.by(step) },
    { id: "zoom.out", group: "video", keys: ["-"], label: () => t("zoom.out"), when: () => !!target(), run: () => target()?.by(1 / step) },
    { id: "zoom.reset", group: "video", keys: ["0"], label: () => t("zoom.reset"), when: () => on() || (target()?.fitted ?? false), run: () => target()?.reset() },
    arrow("ArrowLeft", -1, 0), arrow("ArrowRight", 1, 0), arrow("ArrowUp", 0, -1), arrow("ArrowDown", 0, 1),
  ];
}
