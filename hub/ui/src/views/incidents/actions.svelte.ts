// What a dispatcher does to an incident or to several, from the list and from the page, with its words and its undo.
import { SvelteSet } from "svelte/reactivity";
import { ApiError } from "../../api/client";
import type { Incident } from "../../api/types";
import { type Key, t } from "../../i18n/i18n.svelte";
import { whoText } from "../../i18n/words";
import { toast } from "../../state/announce.svelte";
import { Changed } from "../../state/conflict";
import { prefs } from "../../state/prefs.svelte";
import { session } from "../../state/session.svelte";
import { acknowledging, assigning, causeOf, type Change, closing, meanwhile, noting, reopening, type What } from "./changes";
import { each } from "./each";
import { titleWords } from "./title";

/** How long the last action can be undone by its message. */
const undoWithin = 25_000; // ms
const atOnce = 4; // requests for several incidents; a browser has six connections to the hub, and one is the live stream's
const mostNamed = 3; // incidents that a message names

class Actions {
  /** incidents with an action on its way, by ID */
  busy = new SvelteSet<string>();
  /** the last action that can be taken back */
  last: { label: string; run: () => void } | null = $state.raw(null);
  /** those that somebody is about to close, and is asked for the outcome of; empty: nobody is */
  closing: readonly Incident[] = $state.raw([]);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hush = (): void => {}; // takes the last message away: the next one says what holds now

  get may(): boolean { return session.may("dispatcher"); }

  can(what: What, i: Incident | undefined): boolean {
    if (!i || !this.may) return false;
    if (what === "note") return true;
    if (what === "acknowledge") return i.state === "open";
    if (what === "reopen") return i.state === "closed" && i.outcome !== "joined";
    return i.state !== "closed";
  }

  acknowledge(i: Incident): Promise<boolean> {
    return this.#do(acknowledging, i, (after) => {
      if (after.state_by !== session.user && after.state !== "open") return t("incidents.already.acknowledged", { who: whoText(after.state_by) });
      return t("incidents.done.acknowledged", { title: titleWords(i) });
    });
  }

  /** Gives it to somebody; "" to nobody. */
  assign(i: Incident, who: string): Promise<boolean> {
    if (i.assignee === who) return Promise.resolve(true);
    const words = who === session.user ? "incidents.done.mine" : who ? "incidents.done.assigned" : "incidents.done.nobodys";
    return this.#do(assigning(who), i, () => t(words, { title: titleWords(i), who }));
  }

  close(i: Incident, text = "", outcome = ""): Promise<boolean> {
    const goesOn = i.condition === "open" && i.source === "edge";
    return this.#do(closing(text, outcome), i, () => t(goesOn ? "incidents.done.closedThough" : "incidents.done.closed", { title: titleWords(i) }));
  }

  /** Opens a closed one again, however long ago it was closed. */
  reopen(i: Incident): Promise<boolean> {
    return this.#do(reopening, i, () => t("incidents.done.reopened", { title: titleWords(i) }));
  }

  note(i: Incident, text: string): Promise<boolean> {
    return this.#do(noting(text), i, () => t("incidents.done.noted", { title: titleWords(i) }));
  }

  /** Asks what came of them, to close them with that. */
  askOutcome(all: readonly Incident[]): void {
    this.closing = all.filter((i) => this.can("close", i));
  }

  /** Acknowledges one or several; those that cannot be are left out. The same holds for the other two. */
  async acknowledgeAll(all: readonly Incident[]): Promise<void> {
    const list = all.filter((i) => this.can("acknowledge", i));
    if (list.length === 1) await this.acknowledge(list[0]!);
    else await this.#several(acknowledging, list, "several.acknowledged");
  }

  async takeAll(all: readonly Incident[]): Promise<void> {
    const me = session.user;
    const list = all.filter((i) => this.can("assign", i) && i.assignee !== me);
    if (list.length === 1) await this.assign(list[0]!, me);
    else await this.#several(assigning(me), list, "several.mine");
  }

  async closeAll(all: readonly Incident[], text: string, outcome: string): Promise<void> {
    const list = all.filter((i) => this.can("close", i));
    if (list.length === 1) await this.close(list[0]!, text, outcome);
    else await this.#several(closing(text, outcome), list, "several.closed");
  }

  async #several(change: Change, all: readonly Incident[], words: Key): Promise<void> {
    const list = all.filter((i) => !this.busy.has(i.id));
    if (list.length === 0) return;
    for (const i of list) this.busy.add(i.id);
    const changed: { before: Incident; after: Incident }[] = []; // by us, so that it can be undone
    const { done, failed } = await each(list, atOnce, async (before) => {
      try {
        const after = await change.make(before);
        if (after.version !== before.version) changed.push({ before, after });
      } finally {
        this.busy.delete(before.id);
      }
    }, gone);
    for (const { item } of failed) this.busy.delete(item.id);
    const label = t(words, { count: done.length });
    const text = failed.length === 0 ? label : t("several.partly", { done: label, failed: failedText(failed) });
    this.#offerUndo(text, label, failed.length > 0, changed.length > 0 ? () => this.#undoSeveral(change, changed) : null);
  }

  async #undoSeveral(change: Change, changed: readonly { before: Incident; after: Incident }[]): Promise<void> {
    const { done, failed } = await each(changed, atOnce, async ({ before, after }) => void (await change.undo?.(before, after)), gone);
    const label = t("several.undone", { count: done.length });
    if (failed.length === 0) this.#say(label);
    else this.#say(t("several.partly", { done: label, failed: failedText(failed.map((f) => ({ item: f.item.before, error: f.error }))) }), { kind: "bad" });
  }

  async #do(change: Change, seen: Incident, words: (after: Incident) => string): Promise<boolean> {
    if (this.busy.has(seen.id)) return false;
    this.busy.add(seen.id);
    try {
      const after = await change.make(seen);
      const done = words(after);
      if (after.version === seen.version) this.#say(done); // somebody was quicker: there is nothing of one's own to undo
      else this.#confirm(done, change, seen, after);
      return true;
    } catch (error) {
      if (error instanceof Changed) this.#refuse(change.what, error.now, () => void this.#do(change, error.now, words));
      else this.#say(t("incidents.failed", { title: titleWords(seen), cause: causeOf(error) }), { kind: "bad" });
      return false;
    } finally {
      this.busy.delete(seen.id);
    }
  }

  /** Says what somebody else has done meanwhile, and offers to do it all the same. */
  #refuse(what: What, now: Incident, anyway: () => void): void {
    if (what === "acknowledge" && now.state === "acknowledged") return this.#say(t("incidents.already.acknowledged", { who: whoText(now.state_by) }));
    const words = t("incidents.failed", { title: titleWords(now), cause: meanwhile(now) });
    this.#say(words, { kind: "bad", ...(this.can(what, now) && { action: { label: t("incidents.anyway"), run: anyway }, ms: undoWithin }) });
  }

  #confirm(done: string, { undo }: Change, before: Incident, after: Incident): void {
    if (!undo) return this.#say(done, { kind: "good" });
    this.#offerUndo(done, done, false, () => undo(before, after).then(
      () => this.#say(t("incidents.undone", { title: titleWords(before) })),
      (error: unknown) => this.#say(t("incidents.notUndone", { title: titleWords(before), cause: causeOf(error) }), { kind: "bad" }),
    ));
  }

  /** Says what was done, with what takes it back; null: nothing can be taken back. */
  #offerUndo(text: string, label: string, bad: boolean, back: (() => Promise<void>) | null): void {
    const kind = bad ? "bad" : "good";
    if (!back) return this.#say(text, { kind });
    const run = () => {
      if (this.last?.run === run) this.last = null;
      void back();
    };
    this.last = { label, run };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.last = null), undoWithin);
    this.#say(text, { kind, action: { label: t("ui.undo"), run }, ms: undoWithin });
  }

  #say(...what: Parameters<typeof toast>): void {
    this.#hush();
    this.#hush = toast(...what);
  }
}

/** Whether the hub does not answer, so that asking it again for the next incident is of no use. */
const gone = (error: unknown): boolean => error instanceof ApiError && (error.status === 0 || error.status === 401);

/** "2 incidents not changed: River above 2 m, Motion in the yard. The hub does not answer." */
function failedText(failed: readonly { item: Incident; error: unknown }[]): string {
  const titles = [...new Set(failed.map((f) => titleWords(f.item)))];
  const named = titles.slice(0, mostNamed);
  if (titles.length > named.length) named.push(t("several.more", { count: titles.length - named.length }));
  const list = new Intl.ListFormat(prefs.language, { type: "unit", style: "short" }).format(named);
  return t("several.failed", { count: failed.length, list, cause: causeOf(failed[0]!.error) });
}

export const actions = new Actions();
