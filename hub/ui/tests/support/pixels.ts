// What is drawn on a map, as far as pixels tell it.
import type { Person } from "./people";

/** Where something stands on the screen: the map's middle and zoom are in the address. */
export async function onScreen(p: Person, place: { lat: number; lon: number }, map = ".maplibregl-canvas"): Promise<{ x: number; y: number }> {
  const [lat, lon, zoom] = new URL(p.page.url()).searchParams.get("at")!.split(",").map(Number) as [number, number, number];
  const box = (await p.page.locator(map).boundingBox())!;
  const world = 512 * 2 ** zoom;
  const north = (at: number) => Math.log(Math.tan(Math.PI / 4 + (at * Math.PI) / 360)) / (2 * Math.PI);
  return { x: box.x + box.width / 2 + ((place.lon - lon) / 360) * world, y: box.y + box.height / 2 - (north(place.lat) - north(lat)) * world };
}

async function cut(p: Person, x: number, y: number, radius: number): Promise<string> {
  const clip = { x: Math.round(x - radius), y: Math.round(y - radius), width: 2 * radius, height: 2 * radius };
  return (await p.page.screenshot({ clip })).toString("base64");
}

/** The middle colour of a small square. */
export async function colourAt(p: Person, at: { x: number; y: number }): Promise<number[]> {
  return p.page.evaluate(async (png) => {
    const image = await createImageBitmap(new Blob([Uint8Array.from(atob(png), (c) => c.charCodeAt(0))]));
    const c = new OffscreenCanvas(image.width, image.height).getContext("2d")!;
    c.drawImage(image, 0, 0);
    const { data } = c.getImageData(0, 0, image.width, image.height);
    return [0, 1, 2].map((i) => [...data].filter((_, n) => n % 4 === i).sort((a, b) => a - b)[data.length >> 3]!);
  }, await cut(p, at.x, at.y, 4));
}

/** How many pixels of the console's accent are around a place: rings, pins and lines of what is chosen. */
export async function accented(p: Person, at: { x: number; y: number }, radius = 24): Promise<number> {
  return p.page.evaluate(async (png) => {
    const image = await createImageBitmap(new Blob([Uint8Array.from(atob(png), (c) => c.charCodeAt(0))]));
    const c = new OffscreenCanvas(image.width, image.height).getContext("2d")!;
    c.drawImage(image, 0, 0);
    const { data } = c.getImageData(0, 0, image.width, image.height);
    const accent = getComputedStyle(document.documentElement).getPropertyValue("--accent").trim();
    const wanted = [1, 3, 5].map((i) => parseInt(accent.slice(i, i + 2), 16));
    let found = 0;
    for (let n = 0; n < data.length; n += 4) if (wanted.every((v, i) => Math.abs(v - data[n + i]!) < 40)) found += 1;
    return found;
  }, await cut(p, at.x, at.y, radius));
}

/**
 * How much what is drawn around a place resembles each of some characters, 0 to 1: the best normalized
 * correlation with the character in the console's font, wherever it is in the square.
 */
export async function resembles(p: Person, at: { x: number; y: number }, characters: string[], sizes: number[], radius = 32): Promise<Record<string, number>> {
  return p.page.evaluate(async ({ png, characters, sizes }) => {
    await document.fonts.load('16px "Noto Sans SC"', characters.join(""));
    const grey = (image: CanvasImageSource | null, w: number, h: number, paint?: (c: OffscreenCanvasRenderingContext2D) => void) => {
      const c = new OffscreenCanvas(w, h).getContext("2d")!;
      if (image) c.drawImage(image, 0, 0);
      paint?.(c);
      const { data } = c.getImageData(0, 0, w, h);
      return Float64Array.from({ length: w * h }, (_, n) => data[4 * n]! + data[4 * n + 1]! + data[4 * n + 2]!);
    };
    const image = await createImageBitmap(new Blob([Uint8Array.from(atob(png), (c) => c.charCodeAt(0))]));
    const seen = grey(image, image.width, image.height);
    const best: Record<string, number> = {};
    for (const character of characters) for (const size of sizes) {
      const w = size + 4;
      const like = grey(null, w, w, (c) => {
        c.fillRect(0, 0, w, w);
        c.fillStyle = "white";
        c.font = `${size}px "Noto Sans SC"`;
        c.textAlign = "center";
        c.textBaseline = "middle";
        c.fillText(character, w / 2, w / 2);
      });
      const mean = like.reduce((a, b) => a + b) / like.length;
      for (let y = 0; y + w <= image.height; y += 1) for (let x = 0; x + w <= image.width; x += 1) {
        let sum = 0;
        for (let j = 0; j < w; j += 1) for (let i = 0; i < w; i += 1) sum += seen[(y + j) * image.width + x + i]!;
        const middle = sum / (w * w);
        let both = 0, one = 0, other = 0;
        for (let j = 0; j < w; j += 1) for (let i = 0; i < w; i += 1) {
          const a = seen[(y + j) * image.width + x + i]! - middle;
          const b = like[j * w + i]! - mean;
          both += a * b; one += a * a; other += b * b;
        }
        if (one > 0) best[character] = Math.max(best[character] ?? 0, both / Math.sqrt(one * other));
      }
    }
    return best;
  }, { png: await cut(p, at.x, at.y, radius), characters, sizes });
}
