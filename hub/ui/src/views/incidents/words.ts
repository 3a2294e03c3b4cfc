// The text of an incident that is looked through, made once for each of its versions and language.
import type { Incident } from "../../api/types";
import type { Language } from "../../i18n/i18n.svelte";
import { titleWords } from "./title";

/** A function for a language. It must be called while that language is the reader's. */
export function makeWords(_: Language): (i: Incident) => string {
  const known = new WeakMap<Incident, string>();
  return (i) => {
    let text = known.get(i);
    if (text === undefined) {
      // The hub's own title and the names as they are written are found too, in either language.
      text = [titleWords(i), i.title, i.edge, i.device, i.rule, i.assignee, i.state_by, i.id].join("\n").toLocaleLowerCase();
      known.set(i, text);
    }
    return text;
  };
}
