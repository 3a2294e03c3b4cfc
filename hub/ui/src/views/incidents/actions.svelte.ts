// What a dispatcher does to an incident, from the list and from its page, with its words and its undo.
import { SvelteSet } from "svelte/reactivity";
import { api, path } from "../../api/client";
import type { Incident } from "../../api/types";
import { t } from "../../i18n/i18n.svelte";
import { errorText, whoText } from "../../i18n/words";
import { toast } from "../../state/announce.svelte";
import { incidents } from "../../state/incidents.svelte";
import { session } from "../../state/session.svelte";
import { titleWords } from "./title";

/** How long the last action can be undone by its message. */
const undoWithin = 25_000; // ms

type Undo = (before: Incident) => Promise<void>;

class Actions {
  /** incidents with a action on its way, by ID */
  busy = new SvelteSet<string>();
  /** the last action that can be taken back */
  last: { label: string; run: () => void } | null = $state.raw(null);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hush = (): void => {}; // takes the last message away: the next one says what holds now

  get may(): boolean { return session.may("dispatcher"); }

  can(what: "acknowledge" | "assign" | "close" | "note" | "reopen", i: Incident | undefined): boolean {
    if (!i || !this.may) return false;
    if (what === "note") return true;
    if (what === "acknowledge") return i.state === "open";
    if (what === "reopen") return i.state === "closed" && i.outcome !== "joined";
    return i.state !== "closed";
  }

  acknowledge(i: Incident): Promise<boolean> {
    return this.#do(i, () => incidents.acknowledge(i.id), (after) => {
      if (after.state_by !== session.user && after.state !== "open") return t("incidents.already.acknowledged", { who: whoText(after.state_by) });
      return t("incidents.done.acknowledged", { title: titleWords(i) });
    }, untake);
  }

  /** Gives it to somebody; "" to nobody. */
  assign(i: Incident, who: string): Promise<boolean> {
    if (i.assignee === who) return Promise.resolve(true);
    const words = who === session.user ? "incidents.done.mine" : who ? "incidents.done.assigned" : "incidents.done.nobodys";
    return this.#do(i, () => incidents.assign(i.id, who), () => t(words, { title: titleWords(i), who }), async (before) => {
      if (before.state === "open") await untake(before);
      else await incidents.assign(before.id, before.assignee);
    });
  }

  close(i: Incident, text = "", outcome = ""): Promise<boolean> {
    const goesOn = i.condition === "open" && i.source === "edge";
    return this.#do(i, () => incidents.close(i.id, text, outcome), () => t(goesOn ? "incidents.done.closedThough" : "incidents.done.closed", { title: titleWords(i) }), async (before) => {
      await incidents.reopen(before.id);
      if (before.state === "open") await untake(before);
      else await incidents.fetch(before.id);
    });
  }

  /** Opens a closed one again, however long ago it was closed. */
  reopen(i: Incident): Promise<boolean> {
    return this.#do(i, () => incidents.reopen(i.id), () => t("incidents.done.reopened", { title: titleWords(i) }), async (before) => {
      await incidents.close(before.id, "", before.outcome === "joined" ? "" : before.outcome);
    });
  }

  note(i: Incident, text: string): Promise<boolean> {
    return this.#do(i, () => incidents.note(i.id, text), () => t("incidents.done.noted", { title: titleWords(i) }));
  }

  async #do(i: Incident, action: () => Promise<Incident>, words: (after: Incident) => string, undo?: Undo): Promise<boolean> {
    if (this.busy.has(i.id)) return false;
    this.busy.add(i.id);
    try {
      const after = await action();
      const done = words(after);
      if (after.version === i.version) this.#say(done); // somebody was quicker: there is nothing of one's own to undo
      else this.#confirm(done, i, undo);
      return true;
    } catch (error) {
      this.#say(t("incidents.failed", { title: titleWords(i), cause: errorText(error) }), { kind: "bad" });
      return false;
    } finally {
      this.busy.delete(i.id);
    }
  }

  #confirm(done: string, before: Incident, undo?: Undo): void {
    if (!undo) return this.#say(done, { kind: "good" });
    const run = () => {
      if (this.last?.run === run) this.last = null;
      undo(before).then(
        () => this.#say(t("incidents.undone", { title: titleWords(before) })),
        (error: unknown) => this.#say(t("incidents.notUndone", { title: titleWords(before), cause: errorText(error) }), { kind: "bad" }),
      );
    };
    this.last = { label: done, run };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.last = null), undoWithin);
    this.#say(done, { kind: "good", action: { label: t("ui.undo"), run }, ms: undoWithin });
  }

  #say(...what: Parameters<typeof toast>): void {
    this.#hush();
    this.#hush = toast(...what);
  }
}

/** Back to open, and nobody's. */
async function untake(i: Incident): Promise<void> {
  await api.delete(path`/api/v1/incidents/${i.id}/acknowledge`);
  await incidents.fetch(i.id);
}

export const actions = new Actions();
