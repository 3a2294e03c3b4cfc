// Runs before the first paint: a light page must not flash dark, nor the other way round.
// What it reads is written by src/state/prefs.svelte.ts.
try {
  var kept = JSON.parse(localStorage.getItem("gridpost.prefs") || "{}");
  var light = kept.theme === "light" || (kept.theme !== "dark" && matchMedia("(prefers-color-scheme: light)").matches);
  if (light) document.documentElement.dataset.theme = "light";
  if (kept.language) document.documentElement.lang = kept.language;
} catch (_) { /* no storage: main.ts applies the defaults */ }
