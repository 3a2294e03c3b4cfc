// Starts stores and the link that feeds them, for a window that is signed in.
import { link } from "./link.svelte";

/**
 * Starts all of them, in order, then the link: the stores subscribe first, so that they are asked to fetch once it
 * stands. Follows what the browser says of its network. Returns what ends it all.
 */
export function live(...starts: (() => () => void)[]): () => void {
  const ends = starts.map((start) => start());
  link.start();
  const gone = () => link.networkGone();
  const back = () => link.retry();
  addEventListener("offline", gone);
  addEventListener("online", back);
  return () => {
    removeEventListener("offline", gone);
    removeEventListener("online", back);
    link.stop();
    for (const end of ends) end();
  };
}
