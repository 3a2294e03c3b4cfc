// One request for each of many things, a few at a time.

export interface Outcome<T> {
  done: T[];
  failed: { item: T; error: unknown }[]; // in the order of the list
}

/**
 * Calls f for each item, atOnce at a time. After an error that fatal says is one for all (the hub is gone), f is not
 * called again: what is left has failed for the same reason.
 */
export async function each<T>(all: readonly T[], atOnce: number, f: (item: T) => Promise<unknown>, fatal: (error: unknown) => boolean = () => false): Promise<Outcome<T>> {
  const errors = new Map<number, unknown>();
  const stop: { error: unknown }[] = []; // none: go on
  let next = 0;
  const work = async () => {
    while (next < all.length) {
      const n = next++;
      if (stop[0]) {
        errors.set(n, stop[0].error);
        continue;
      }
      try {
        await f(all[n]!);
      } catch (error) {
        errors.set(n, error);
        if (fatal(error)) stop.push({ error });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, all.length) }, work));
  return {
    done: all.filter((_, n) => !errors.has(n)),
    failed: all.flatMap((item, n) => (errors.has(n) ? [{ item, error: errors.get(n) }] : [])),
  };
}
