// What the list of incidents shows for the filter in the address: those that are not closed from the store, without
// those of muted rules, and after them closed ones, as the hub filters and sorts them.
import { onMount } from "svelte";
import type { Incident } from "../../api/types";
import { clock } from "../../state/clock.svelte";
import { closed, fetchTotals } from "../../state/closed.svelte";
import { devices } from "../../state/devices.svelte";
import { incidents, occurredAt } from "../../state/incidents.svelte";
import { Loader, onKey } from "../../state/keyed.svelte";
import { mutes } from "../../state/mutes.svelte";
import { router } from "../../state/router.svelte";
import { session } from "../../state/session.svelte";
import { shownCounts } from "./counts";
import { applyFilter, hubQuery, matchesClosed, mine, order, parseFilter, period } from "./filter";
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
  readonly #stands = $derived(closed.key === this.#closedKey); // the closed list is that of the filter
  readonly #closedRows = $derived.by(() => {
    if (!this.withClosed || !this.#stands) return [];
    if (this.filter.since === "") return closed.rows;
    const { from, to } = period(this.filter, this.minute); // it goes on while the list stands
    return closed.rows.filter((i) => occurredAt(i) >= from && occurredAt(i) < to);
  });
  readonly all: Incident[] = $derived.by(() => {
    const by = order(this.filter);
    return [...(by ? this.found.rows.toSorted(by) : this.found.rows), ...this.#closedRows];
  });

  /** the hub has more closed ones */
  readonly more = $derived(this.withClosed && (!this.#stands || !closed.complete));
  /** no more of them are fetched */
  readonly full = $derived(this.#stands && closed.full);
  #asked = $state(0); // pages that had come when the end of the list was last out of sight, or more were asked for
  /** the next ones are fetched when somebody asks */
  readonly paused = $derived(this.#stands && closed.pages >= this.#asked + unasked);
  /** how many closed ones are shown */
  readonly closedShown = $derived(this.#closedRows.length);
  /** no closed ones have come for the filter yet */
  readonly waits = $derived(this.withClosed && !this.#stands);
  readonly counts = $derived.by(() => shownCounts(
    this.found.counts, this.filter, this.#totals.value, this.#stands && closed.complete ? closed.rows : null, devices.edges.map((e) => e.name),
  ));

  /** Fetches closed ones. */
  readonly older: Loader<void>;
  readonly #totals: Loader<Awaited<ReturnType<typeof fetchTotals>>>;

  /** ending says whether the end of the list is in sight. */
  constructor(ending: () => boolean) {
    // Once for each page that has come, so that a hub which does not answer is asked again by hand, or when the link is
    // back.
    this.older = new Loader(
      () => (this.withClosed && incidents.loading === "all" && closed.more(this.#closedKey) && (!this.#stands || closed.pages === 0 || (ending() && !this.paused))
        ? `${closed.round} ${this.#stands ? closed.pages : 0} ${this.#closedKey}` : null),
      (signal) => closed.fetch(this.#closedKey, () => {
        const [f, now, me] = [this.filter, clock.exact(), session.user];
        return { query: hubQuery(f, now, me), matches: matchesClosed(f, now, textOf, me), compare: order(f) ?? order({ sort: "occurred", asc: false })! };
      }, signal),
    );
    this.#totals = new Loader(() => (incidents.loading === "all" ? `${closed.round}` : null), fetchTotals);
    onKey(() => (ending() ? null : `${closed.key} ${closed.pages}`), () => this.askMore());
    onKey(() => this.#closedKey, () => { this.#asked = 0; });
    onMount(() => this.#recount());
  }

  /** Fetches closed ones again while the end of the list is in sight. */
  askMore(): void {
    this.#asked = closed.pages;
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
