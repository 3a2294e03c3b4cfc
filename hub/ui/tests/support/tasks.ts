// What held the page's main thread up while something was done. The browser tells tasks of 50 ms and
// more, and for frames that were late which script ran in them for how long: how much of it is ours. Both
// are by the clock on the wall and grow with what else the machine does; what the thread itself used does not.
import type { Page } from "playwright-core";

export interface Held {
  longest_task_ms: number; // whoever's: drawing without a graphics card too; 0: none of 50 ms
  longest_script_ms: number; // of the console's own scripts
  script: string; // what that was
  tasks: number; // of 50 ms and more
  cpu_ms_per_s: number; // of the main thread
}

export async function held(page: Page, act: () => Promise<unknown>): Promise<Held> {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
  const used = async () => (await devtools.send("Performance.getMetrics")).metrics.find((m) => m.name === "TaskDuration")!.value * 1000;
  await page.evaluate(() => {
    const w = window as unknown as { held: () => Seen };
    type Seen = { longest_task_ms: number; longest_script_ms: number; script: string; tasks: number };
    type Late = PerformanceEntry & { scripts: { duration: number; sourceURL: string; invoker: string; sourceFunctionName: string }[] };
    const seen: Seen = { longest_task_ms: 0, longest_script_ms: 0, script: "", tasks: 0 };
    const tasks = (all: PerformanceEntryList) => { for (const e of all) { seen.tasks += 1; seen.longest_task_ms = Math.max(seen.longest_task_ms, e.duration); } };
    const frames = (all: PerformanceEntryList) => {
      for (const s of (all as Late[]).flatMap((f) => f.scripts)) {
        if (!s.sourceURL.startsWith(location.origin) || s.duration <= seen.longest_script_ms) continue;
        [seen.longest_script_ms, seen.script] = [s.duration, `${s.invoker} ${s.sourceFunctionName}`.trim()];
      }
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
  const [before, began] = [await used(), Date.now()];
  await act();
  const cpu_ms_per_s = Math.round(((await used()) - before) / ((Date.now() - began) / 1000));
  await devtools.detach();
  // The browser tells a frame after it has been painted.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))));
  return { ...(await page.evaluate(() => (window as unknown as { held: () => Omit<Held, "cpu_ms_per_s"> }).held())), cpu_ms_per_s };
}
