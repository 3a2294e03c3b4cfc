// Digital zoom: which part of a picture is seen. Pure.

export interface ZoomView {
  scale: number; // 1: all of it
  x: number; // px by which the enlarged picture is moved, 0 or less
  y: number;
}

export interface Size {
  width: number;
  height: number;
}

export const whole: ZoomView = { scale: 1, x: 0, y: 0 };
export const largest = 8; // beyond it a pixel of a camera is larger than a finger

const clamp = (v: number, least: number, most: number) => Math.min(most, Math.max(least, v));

/** A view within the picture: none of its edges comes inside the frame. */
function within(v: ZoomView, size: Size): ZoomView {
  const scale = clamp(v.scale, 1, largest);
  if (scale === 1) return whole;
  return { scale, x: clamp(v.x, size.width * (1 - scale), 0), y: clamp(v.y, size.height * (1 - scale), 0) };
}

/** Enlarged by a factor; what is at the point (px in the frame) stays there as far as the edges allow. */
export function zoomed(v: ZoomView, factor: number, at: { x: number; y: number }, size: Size): ZoomView {
  const scale = clamp(v.scale * factor, 1, largest);
  const by = scale / v.scale;
  return within({ scale, x: at.x - (at.x - v.x) * by, y: at.y - (at.y - v.y) * by }, size);
}

/** Moved by so many px. */
export const panned = (v: ZoomView, dx: number, dy: number, size: Size): ZoomView => within({ ...v, x: v.x + dx, y: v.y + dy }, size);

/** The same part of the picture in a frame of another size. */
export function resized(v: ZoomView, from: Size, to: Size): ZoomView {
  if (from.width === 0 || from.height === 0) return within(v, to);
  return within({ scale: v.scale, x: (v.x * to.width) / from.width, y: (v.y * to.height) / from.height }, to);
}

/** How much of a picture is cut off, 0 to 1, where it fills a frame of another shape. */
export function cropped(picture: Size, frame: Size): number {
  const a = (picture.width * frame.height) / (picture.height * frame.width || 1);
  return a > 0 && Number.isFinite(a) ? 1 - Math.min(a, 1 / a) : 0;
}
