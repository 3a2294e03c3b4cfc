// Words on the map: in the reader's language, in the console's own font.
//
// A glyph that is drawn before its font is there is a box, and boxes stay. So the style names the
// files of the font by the code points that are in them (font-faces), and MapLibre draws no glyph
// before the file that has it has been loaded, whatever texts come later.
import ranges from "@fontsource/noto-sans-sc/unicode.json";
import type { ExpressionSpecification, StyleSpecification } from "maplibre-gl";
import type { Language } from "../i18n/messages";

export const font = ["Noto Sans SC"];

const files = import.meta.glob<string>("/node_modules/@fontsource/noto-sans-sc/files/noto-sans-sc-*-400-normal.woff2", {
  query: "?url", import: "default", eager: true,
});

/** The font's files with the code points that each has. */
export function fontFaces(): NonNullable<StyleSpecification["font-faces"]> {
  const faces = [];
  for (const [subset, covered] of Object.entries(ranges as Record<string, string>)) {
    const url = files[`/node_modules/@fontsource/noto-sans-sc/files/noto-sans-sc-${subset.replace(/[[\]]/g, "")}-400-normal.woff2`];
    if (url) faces.push({ url: new URL(url, document.baseURI).href, "unicode-range": covered.split(",").map((r) => r.trim().toUpperCase()) });
  }
  return { [font[0]!]: faces };
}

/** A feature's name in a language; its own name where it has none in that. */
export function nameIn(language: Language): ExpressionSpecification {
  const keys = language === "en" ? ["name:en", "name_en", "name:latin"] : ["name:zh", "name:zh-Hans", "name_zh"];
  return ["coalesce", ...[...keys, "name"].map((k) => ["get", k])] as unknown as ExpressionSpecification;
}
