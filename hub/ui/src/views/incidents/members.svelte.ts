// The closed incidents of the groups that are opened in the list, fetched page by page while they are in sight.
import { onMount } from "svelte";
import { ClosedList } from "../../state/closed.svelte";
import { Loader } from "../../state/keyed.svelte";
import type { ClosedFilter } from "../../state/pages.svelte";

const mostOpened = 10; // groups; the one that was opened first is collapsed for another

/** Create it while the component is set up. */
export class Members {
  /** the groups that are opened, by ID; a new set after each change */
  opened: ReadonlySet<string> = $state.raw(new Set());
  /** fetches the incidents of the group whose end is in sight */
  readonly loader: Loader<void>;
  #lists: ReadonlyMap<string, { list: ClosedList; end: () => void }> = $state.raw(new Map());
  readonly #key: () => string | null;

  /** key is that of the list of groups, null while there is none; reached is the group whose end is in sight. */
  constructor(key: () => string | null, reached: () => string, filter: () => ClosedFilter) {
    this.#key = key;
    this.loader = new Loader(
      () => {
        const [list, of] = [this.#lists.get(reached())?.list, this.#keyOf(reached())];
        return list && of !== null && list.more(of) ? `${list.round} ${list.key === of ? list.pages : 0} ${of}` : null;
      },
      async (signal) => {
        const group = reached();
        await this.#lists.get(group)!.list.fetch(this.#keyOf(group)!, () => {
          const f = filter();
          return { ...f, query: { ...f.query, group }, matches: (i) => (i.group || i.id) === group };
        }, signal);
      },
    );
    onMount(() => () => { for (const { end } of this.#lists.values()) end(); });
  }

  /** Those of an opened group that have come; null: none yet. */
  of(group: string): ClosedList | null {
    const list = this.#lists.get(group)?.list;
    return list && list.key === this.#keyOf(group) ? list : null;
  }

  /** Whether an opened group has more of them. */
  more(group: string): boolean {
    const [list, of] = [this.#lists.get(group)?.list, this.#keyOf(group)];
    return list !== undefined && of !== null && list.more(of);
  }

  toggle(group: string): void {
    const lists = new Map(this.#lists);
    const drop = (id: string) => {
      lists.get(id)?.end();
      return lists.delete(id);
    };
    if (!drop(group)) {
      if (lists.size >= mostOpened) drop(lists.keys().next().value!);
      const list = new ClosedList();
      lists.set(group, { list, end: list.start() });
    }
    this.#lists = lists;
    this.opened = new Set(lists.keys());
  }

  #keyOf(group: string): string | null {
    const key = this.#key();
    return key === null ? null : `${key} ${group}`;
  }
}
