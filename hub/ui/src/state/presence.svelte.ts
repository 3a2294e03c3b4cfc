// Who works at the caller's sites, and who of them is signed in: whose page has been open within the last minute.
import { api, ApiError } from "../api/client";
import type { RosterEntry } from "../api/types";
import { t } from "../i18n/i18n.svelte";

const every = 20_000; // ms

class Presence {
  /** everybody who may log in and shares a site, by name */
  people: RosterEntry[] = $state.raw([]);
  /** those whose page is open */
  readonly online: RosterEntry[] = $derived(this.people.filter((p) => p.online));
  /** the hub's answer is there */
  known = $state(false);

  /** The name of somebody, and whether the person is away. */
  label(user: string): string {
    const away = this.known && this.people.some((p) => p.user === user && !p.online);
    return away ? t("incident.assign.away", { user }) : user;
  }

  /** Asks again and again; asking is also what says that one is here oneself. */
  start(): () => void {
    let ended = false;
    let timer: ReturnType<typeof setTimeout>;
    const ask = async () => {
      let again = every;
      try {
        this.people = (await api.get<{ roster: RosterEntry[] }>("/api/v1/roster")).roster;
        this.known = true;
      } catch (error) {
        this.known = false; // an old list would be a claim about now
        if (error instanceof ApiError && error.status === 404) again = 10 * every;
      }
      if (!ended) timer = setTimeout(ask, again);
    };
    void ask();
    return () => {
      ended = true;
      clearTimeout(timer);
      this.known = false;
    };
  }
}

export const presence = new Presence();
