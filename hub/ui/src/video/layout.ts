// Where pictures have the most room, all of each being seen: how tiles stand, and where a tile's caption does. Pure.
import type { Size } from "../ui/zoom";

const captionHeight = 33; // px, below a picture
const captionWidth = 120; // px, the least beside one
const gain = 1.05; // what is usual stays unless pictures become so much larger
export const usualAspect = 4 / 3; // of the small streams of most cameras; until the first frame has come

/** px² of a picture (aspect: width / height) that is seen whole in a frame. */
function seen(aspect: number, width: number, height: number): number {
  const w = Math.max(0, Math.min(width, height * aspect));
  return (w * w) / aspect;
}

const below = (aspect: number, tile: Size): number => seen(aspect, tile.width, tile.height - captionHeight);
const beside = (aspect: number, tile: Size): number => seen(aspect, tile.width - captionWidth, tile.height);

/** How wide the picture of a tile is, px, where its caption stands beside it; 0: it stands below. */
export function besideCaption(aspect: number, tile: Size): number {
  return beside(aspect, tile) > below(aspect, tile) * gain ? Math.floor(Math.min(tile.width - captionWidth, tile.height * aspect)) : 0;
}

export interface Layout {
  columns: number;
  rows: number;
  tall: boolean; // the first tile stands over both rows
}

/** The layout of tiles in which their pictures are largest. aspects has one for each tile; 0: it has no picture. */
export function bestLayout(aspects: readonly number[], area: Size, gap: number): Layout {
  const count = aspects.length;
  const square = Math.ceil(Math.sqrt(count));
  const all: Layout[] = [square, ...Array.from({ length: count }, (_, n) => n + 1)].map((columns) => ({ columns, rows: Math.ceil(count / columns), tall: false }));
  if (count === 3) all.unshift({ columns: 2, rows: 2, tall: true });
  const areaOf = (l: Layout) => {
    const [width, height] = [(area.width - gap * (l.columns - 1)) / l.columns, (area.height - gap * (l.rows - 1)) / l.rows];
    return aspects.reduce((sum, aspect, n) => {
      const tile = { width, height: l.tall && n === 0 ? area.height : height };
      return sum + (aspect > 0 ? Math.max(below(aspect, tile), beside(aspect, tile)) : 0);
    }, 0);
  };
  return all.reduce((best, l) => (areaOf(l) > areaOf(best) * gain ? l : best));
}
