// A QR code's modules, and how they are drawn.
import qrcode from "qrcode-generator";

/** Rows of dark (true) and light modules; null for a text that fits no code. */
export function modulesOf(text: string): boolean[][] | null {
  try {
    const code = qrcode(0, "M"); // the smallest that it fits in
    code.addData(text, "Byte");
    code.make();
    const n = code.getModuleCount();
    return Array.from({ length: n }, (_, y) => Array.from({ length: n }, (_, x) => code.isDark(y, x)));
  } catch {
    return null;
  }
}

/** The dark modules as one path, a piece for each run, margin modules from the edge. */
export function pathOf(modules: boolean[][], margin: number): string {
  let d = "";
  modules.forEach((row, y) => {
    for (let x = 0; x < row.length; x += 1) {
      if (!row[x]) continue;
      let end = x;
      while (row[end]) end += 1;
      d += `M${x + margin} ${y + margin}h${end - x}v1h-${end - x}z`;
      x = end;
    }
  });
  return d;
}
