// What a dispatcher does to an incident, from the list and from its page, with its words and its undo.
import { SvelteSet } from "svelte/reactivity";
import type { Incident } from "../../api/types";
import { maybe, t } from "../../i18n/i18n.svelte";
import { errorText, whoText } from "../../i18n/words";
import { toast } from "../../state/announce.svelte";
import { Changed, lastDecision, unlessChanged } from "../../state/conflict";
import { incidents } from "../../state/incidents.svelte";
import { session } from "../../state/session.svelte";
import { titleWords } from "./title";

/** How long the last action can be undone by its message. */
const undoWithin = 25_000; // ms

type What = "acknowledge" | "assign" | "close" | "note" | "reopen";
/** Takes an action back: before is the incident that it was based on, after what it has made of it. */
type Undo = (before: Incident, after: Incident) => Promise<unknown>;

class Actions {
  /** incidents with a action on its way, by ID */
  busy = new SvelteSet<string>();
  /** the last action that can be taken back */
  last: { label: string; run: () => void } | null = $state.raw(null);
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
    return this.#do("acknowledge", i, (seen) => unlessChanged(seen, (v) => incidents.acknowledge(i.id, v)), (after) => {
      if (after.state_by !== session.user && after.state !== "open") return t("incidents.already.acknowledged", { who: whoText(after.state_by) });
      return t("incidents.done.acknowledged", { title: titleWords(i) });
    }, (_, after) => untake(after));
  }

  /** Gives it to somebody; "" to nobody. */
  assign(i: Incident, who: string): Promise<boolean> {
    if (i.assignee === who) return Promise.resolve(true);
    const words = who === session.user ? "incidents.done.mine" : who ? "incidents.done.assigned" : "incidents.done.nobodys";
    return this.#do("assign", i, (seen) => unlessChanged(seen, (v) => incidents.assign(i.id, who, v)), () => t(words, { title: titleWords(i), who }), (before, after) =>
      before.state === "open" ? untake(after) : unlessChanged(after, (v) => incidents.assign(before.id, before.assignee, v)));
  }

  close(i: Incident, text = "", outcome = ""): Promise<boolean> {
    const goesOn = i.condition === "open" && i.source === "edge";
    const words = () => t(goesOn ? "incidents.done.closedThough" : "incidents.done.closed", { title: titleWords(i) });
    return this.#do("close", i, (seen) => unlessChanged(seen, (v) => incidents.close(i.id, v, text, outcome)), words, async (before, after) => {
      const reopened = await unlessChanged(after, (v) => incidents.reopen(before.id, v));
      if (before.state === "open") await untake(reopened);
    });
  }

  /** Opens a closed one again, however long ago it was closed. */
  reopen(i: Incident): Promise<boolean> {
    return this.#do("reopen", i, (seen) => unlessChanged(seen, (v) => incidents.reopen(i.id, v)), () => t("incidents.done.reopened", { title: titleWords(i) }), (before, after) =>
      unlessChanged(after, (v) => incidents.close(before.id, v, "", before.outcome === "joined" ? "" : before.outcome)));
  }

  note(i: Incident, text: string): Promise<boolean> {
    return this.#do("note", i, () => incidents.note(i.id, text), () => t("incidents.done.noted", { title: titleWords(i) }));
  }

  async #do(what: What, seen: Incident, change: (seen: Incident) => Promise<Incident>, words: (after: Incident) => string, undo?: Undo): Promise<boolean> {
    if (this.busy.has(seen.id)) return false;
    this.busy.add(seen.id);
    try {
      const after = await change(seen);
      const done = words(after);
      if (after.version === seen.version) this.#say(done); // somebody was quicker: there is nothing of one's own to undo
      else this.#confirm(done, seen, after, undo);
      return true;
    } catch (error) {
      if (error instanceof Changed) this.#refuse(what, error.now, () => void this.#do(what, error.now, change, words, undo));
      else this.#say(t("incidents.failed", { title: titleWords(seen), cause: errorText(error) }), { kind: "bad" });
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

  #confirm(done: string, before: Incident, after: Incident, undo?: Undo): void {
    if (!undo) return this.#say(done, { kind: "good" });
    const run = () => {
      if (this.last?.run === run) this.last = null;
      undo(before, after).then(
        () => this.#say(t("incidents.undone", { title: titleWords(before) })),
        (error: unknown) => this.#say(t("incidents.notUndone", { title: titleWords(before), cause: error instanceof Changed ? meanwhile(error.now) : errorText(error) }), { kind: "bad" }),
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

/** Back to open, and nobody's, unless somebody else has it by now. */
const untake = (i: Incident): Promise<Incident> => unlessChanged(i, (v) => incidents.unacknowledge(i.id, v));

/** What somebody has done to an incident last: "Anna has closed it meanwhile." */
export function meanwhile(i: Incident): string {
  const e = lastDecision(i);
  if (!e) return t("incidents.meanwhile.changed");
  const who = e.who === session.user ? t("incident.who.you", { who: e.who }) : whoText(e.who);
  if (e.kind !== "assigned") return maybe(`incidents.meanwhile.${e.kind}`, { who }) ?? t("incidents.meanwhile.changed");
  if (e.text === "") return t("incidents.meanwhile.freed", { who });
  return e.text === e.who ? t("incidents.meanwhile.took", { who }) : t("incidents.meanwhile.assigned", { who, to: whoText(e.text) });
}

export const actions = new Actions();
