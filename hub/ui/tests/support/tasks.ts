// What held the page's main thread up while something was done. The browser tells tasks of 50 ms and
// more, and for frames that were late which script ran in them for how long: how much of it is ours.
import type { Page } from "playwright-core";

export interface Held {
  longest_task_ms: number; // whoever's: drawing without a graphics card too; 0: none of 50 ms
  longest_script_ms: number; // of the console's own scripts
  tasks: number; // of 50 ms and more
}

export async function held(page: Page, act: () => Promise<unknown>): Promise<Held> {
  await page.evaluate(() => {
    const w = window as unknown as { held: () => Held };
    type Held = { longest_task_ms: number; longest_script_ms: number; tasks: number };
    type Late = PerformanceEntry & { scripts: { duration: number; sourceURL: string }[] };
    const seen: Held = { longest_task_ms: 0, longest_script_ms: 0, tasks: 0 };
    const tasks = (all: PerformanceEntryList) => { for (const e of all) { seen.tasks += 1; seen.longest_task_ms = Math.max(seen.longest_task_ms, e.duration); } };
    const frames = (all: PerformanceEntryList) => {
      for (const f of all as Late[]) for (const s of f.scripts) if (s.sourceURL.startsWith(location.origin)) seen.longest_script_ms = Math.max(seen.longest_script_ms, s.duration);
    };
    const one = new PerformanceObserver((l) => tasks(l.getEntries()));
    const other = new PerformanceObserver((l) => frames(l.getEntries()));
    one.observe({ type: "longtask" });
    other.observe({ type: "long-animation-frame" });
    w.held = () => {
      tasks(one.takeRecords());
      frames(other.takeRecords());
      one.disconnect();
      other.disconnect();
      return { ...seen, longest_task_ms: Math.round(seen.longest_task_ms), longest_script_ms: Math.round(seen.longest_script_ms) };
    };
  });
  await act();
  // The browser tells a frame after it has been painted.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))));
  return page.evaluate(() => (window as unknown as { held: () => Held }).held());
}
