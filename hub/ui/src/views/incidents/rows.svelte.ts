// What the list of incidents shows for the filter in the address: those that are not closed from the store, without
// those of muted rules, and after them closed ones, as the hub filters and sorts them: by groups where it has them for
// the filter, or else each.
import { onMount } from "svelte";
import type { Incident } from "../../api/types";
import { clock } from "../../state/clock.svelte";
import { closed, fetchTotals } from "../../state/closed.svelte";
import { devices } from "../../state/devices.svelte";
import { closedGroups } from "../../state/groups.svelte";
import { incidents, occurredAt } from "../../state/incidents.svelte";
import { Loader, onKey } from "../../state/keyed.svelte";
import { mutes } from "../../state/mutes.svelte";
import type { ClosedFilter } from "../../state/pages.svelte";
import { router } from "../../state/router.svelte";
import { session } from "../../state/session.svelte";
import { shownCounts } from "./counts";
import { applyFilter, hubQuery, isGroupable, matchesClosed, mine, order, parseFilter, period } from "./filter";
import type { InHub } from "./group";
import { Members } from "./members.svelte";
import { words } from "./words.svelte";

const recount = 2000; // ms after incidents were closed or opened again
const unasked = 2; // pages that are fetched while the end of the list stays in sight: a group of thousands is one row

/** Create it while the component is set up. */
export class Rows {
  readonly filter = $derived(parseFilter(router.query));
  // Spans of an hour and more need no second's exactness, and ten thousand are filtered anew each time.
  readonly minute = $derived(this.filter.since ? Math.floor(clock.now / 60_000) * 60_000 : 0);
  readonly withClosed = $derived(this.filter.state === "closed" || this.filter.state === "all");

  /** incidents of muted rules that nobody has taken are shown too */
  readonly withMuted = $derived(router.query.get("muted") === "1");
  readonly #ours = $derived(incidents.sorted.filter((i) => i.state !== "closed"));
  readonly #muted = $derived(this.#ours.filter((i) => mutes.hides(i)));
  /** how many of those the filter finds */
  readonly mutedFound = $derived(this.#muted.length === 0 ? 0 : this.#apply(this.#muted).rows.length);
  readonly unclosed = $derived(this.#muted.length === 0 || this.withMuted ? this.#ours : this.#ours.filter((i) => !mutes.hides(i)));
  readonly found = $derived(this.#apply(this.unclosed));

  readonly #closedKey = $derived(JSON.stringify({
    ...this.filter, state: "closed", apart: false, assignee: this.filter.assignee === mine ? session.user : this.filter.assignee, q: this.filter.q.trim(),
  }));
  readonly #byGroup = $derived(isGroupable(this.filter));
  readonly #closed = $derived(this.#byGroup ? closedGroups : closed);
  readonly #stands = $derived(this.#closed.key === this.#closedKey); // the closed list is that of the filter
  readonly #groups = $derived(this.withClosed && this.#byGroup && this.#stands ? closedGroups.rows : []);
  /** what the hub says of the closed incidents of groups, by group */
  readonly hub: ReadonlyMap<string, InHub> = $derived(new Map(this.#groups.map((g) => [g.id, { count: g.count, more: this.members.more(g.id) }])));
  readonly #closedRows = $derived.by(() => {
    if (!this.withClosed || !this.#stands) return [];
    if (this.#byGroup) return this.#groups.flatMap((g) => this.members.of(g.id)?.rows ?? g.known);
    if (this.filter.since === "") return closed.rows;
    const { from, to } = period(this.filter, this.minute); // it goes on while the list stands
    return closed.rows.filter((i) => occurredAt(i) >= from && occurredAt(i) < to);
  });
  readonly all: Incident[] = $derived.by(() => {
    const by = order(this.filter);
    return [...(by ? this.found.rows.toSorted(by) : this.found.rows), ...this.#closedRows];
  });

  /** the hub has more closed ones */
  readonly more = $derived(this.withClosed && (!this.#stands || !this.#closed.complete));
  /** no more of them are fetched */
  readonly full = $derived(this.#stands && this.#closed.full);
  #asked = $state(0); // pages that had come when the end of the list was last out of sight, or more were asked for
  /** the next ones are fetched when somebody asks */
  readonly paused = $derived(this.#stands && this.#closed.pages >= this.#asked + unasked);
  /** how many closed ones the rows have, also those that have not been loaded */
  readonly closedShown = $derived(this.#byGroup ? this.#groups.reduce((n, g) => n + g.count, 0) : this.#closedRows.length);
  readonly shown = $derived(this.found.rows.length + this.closedShown);
  /** no closed ones have come for the filter yet */
  readonly waits = $derived(this.withClosed && !this.#stands);
  readonly counts = $derived.by(() => shownCounts(
    this.found.counts, this.filter, this.#totals.value, this.#stands && this.#closed.complete ? (this.#byGroup ? this.closedShown : closed.rows) : null, devices.edges.map((e) => e.name),
  ));

  /** Fetches closed ones. */
  readonly older: Loader<void>;
  readonly members: Members;
  readonly #totals: Loader<Awaited<ReturnType<typeof fetchTotals>>>;

  /** ending says whether the end of the list is in sight; reached names the opened group whose end is. */
  constructor(ending: () => boolean, reached: () => string) {
    const filter = (): ClosedFilter => {
      const [f, now, me] = [this.filter, clock.exact(), session.user];
      return { query: hubQuery(f, now, me), matches: matchesClosed(f, now, textOf, me), compare: order(f) ?? order({ sort: "occurred", asc: false })! };
    };
    const ready = () => this.withClosed && incidents.loading === "all";
    this.members = new Members(() => (ready() && this.#byGroup ? this.#closedKey : null), reached, filter);
    // Once for each page that has come, so that a hub which does not answer is asked again by hand, or when the link is
    // back.
    this.older = new Loader(
      () => (ready() && this.#closed.more(this.#closedKey) && (!this.#stands || this.#closed.pages === 0 || (ending() && !this.paused))
        ? `${this.#byGroup} ${this.#closed.round} ${this.#stands ? this.#closed.pages : 0} ${this.#closedKey}` : null),
      (signal) => this.#closed.fetch(this.#closedKey, filter, signal),
    );
    new Loader(() => (ready() && this.#byGroup && this.#stands ? `${closedGroups.due}` : null), (signal) => closedGroups.refresh(signal));
    this.#totals = new Loader(() => (incidents.loading === "all" ? `${this.#closed.round}` : null), fetchTotals);
    onKey(() => (ending() ? null : `${this.#closed.key} ${this.#closed.pages}`), () => this.askMore());
    onKey(() => `${this.#byGroup} ${this.#closedKey}`, () => { this.#asked = 0; });
    onMount(() => this.#recount());
  }

  /** Fetches closed ones again while the end of the list is in sight. */
  askMore(): void {
    this.#asked = this.#closed.pages;
  }

  #apply(of: readonly Incident[]) {
    return applyFilter(of, this.filter, this.minute, textOf, session.user);
  }

  /** Counts the closed ones anew a little after some were closed or opened again. */
  #recount(): () => void {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = incidents.onChanged((i, before) => {
      if ((i.state === "closed") === (before?.state === "closed") || timer !== undefined) return;
      timer = setTimeout(() => {
        timer = undefined;
        this.#totals.reload();
      }, recount);
    });
    return () => {
      end();
      clearTimeout(timer);
    };
  }
}

const textOf = (i: Incident) => words.of(i);
