import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Fontsource names each slice twice; every browser that runs this console reads woff2. */
function woff2Only(): Plugin {
  return {
    name: "woff2-only",
    enforce: "pre",
    transform(code, id) {
      if (!id.includes("@fontsource") || !id.endsWith(".css")) return null;
      return { code: code.replace(/,\s*url\([^)]+\.woff\) format\('woff'\)/g, ""), map: null };
    },
  };
}

// The hub serves dist under a policy without inline scripts, inline styles and eval, and the
// tests rebuild dist and compare: the build must be the same on every machine.
export default defineConfig({
  base: "/",
  plugins: [svelte(), woff2Only()],
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2023",
    assetsInlineLimit: 0, // no data: URLs, the policy has none for fonts and scripts
    modulePreload: { polyfill: false },
    sourcemap: false,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 2000,
    license: { fileName: "licenses.txt" },
    rolldownOptions: {
      output: {
        assetFileNames: (asset) => (asset.names[0]?.endsWith(".woff2") ? "assets/fonts/[name]-[hash][extname]" : "assets/[name]-[hash][extname]"),
      },
    },
  },
  server: {
    // npx vite dev; the hub's address from GRIDPOST_HUB
    proxy: Object.fromEntries(
      ["/api", "/whep", "/healthz", "/readyz"].map((path) => [
        path,
        { target: process.env["GRIDPOST_HUB"] ?? "http://127.0.0.1:8080", changeOrigin: true },
      ]),
    ),
  },
  resolve: process.env["VITEST"] ? { conditions: ["browser"] } : {},
  test: {
    projects: [
      { extends: true, test: { name: "unit", include: ["src/**/*.test.ts"], exclude: ["src/**/*.svelte.test.ts"], environment: "node" } },
      { extends: true, test: { name: "client", include: ["src/**/*.svelte.test.ts"], environment: "./tests/support/client.ts" } },
    ],
  },
});
