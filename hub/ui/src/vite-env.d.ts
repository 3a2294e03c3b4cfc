/// <reference types="vite/client" />

// Figures for whoever measures from outside: frames shown by all tiles, and ms from the choice of the
// first camera to its first picture. src/video keeps them.
interface Window {
  __gridpost: { frames: number; firstFrameMs: number | null };
}
