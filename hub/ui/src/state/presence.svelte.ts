// Who else is signed in: people whose page has been open within the last minute.
import { api, ApiError } from "../api/client";
import type { Role } from "../api/types";

export interface Present {
  user: string;
  role: Role;
  seen_at: string;
}

const every = 20_000; // ms

class Presence {
  people: Present[] = $state.raw([]);
  /** the hub's answer is there */
  known = $state(false);

  /** Asks again and again; asking is also what says that one is here oneself. */
  start(): () => void {
    let ended = false;
    let timer: ReturnType<typeof setTimeout>;
    const ask = async () => {
      let again = every;
      try {
        this.people = (await api.get<{ duty: Present[] }>("/api/v1/duty")).duty;
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
