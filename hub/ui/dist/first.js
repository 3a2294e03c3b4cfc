// Runs before the first paint: a light page must not flash dark, nor the other way round.
// What it reads is written by src/state/prefs.svelte.ts.
try {
  var kept = JSON.parse(localStorage.getItem("gridpost.prefs") || "{}");
  if (kept.theme === "light") document.documentElement.dataset.theme = "light";
  if (kept.language) document.documentElement.lang = kept.language;
} catch (_) { /* no storage: the defaults hold */ }
