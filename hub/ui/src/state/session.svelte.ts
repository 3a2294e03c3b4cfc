// Who is signed in. The tabs of a browser have one session: what one of them does to it holds in all.
import { api, ApiError, onSignedOut } from "../api/client";
import type { Role, Session } from "../api/types";

type Status = "unknown" | "out" | "in";

/** What tabs tell each other: somebody has signed out here, or it may have become somebody else. */
type Change = "out" | "changed";

const ranks: Role[] = ["monitor", "dispatcher", "administrator"];

class SessionStore {
  status: Status = $state("unknown");
  user = $state("");
  role: Role = $state("monitor");
  /** when it ends by itself; null for never */
  expires: Date | null = $state(null);
  /** the devices of this hub are simulated */
  demo = $state(false);
  /** it ended without the person's doing: the log-in page says so */
  ended = $state(false);

  #tabs: BroadcastChannel | null = null;

  constructor() {
    onSignedOut(() => {
      if (this.status === "in") this.#tell("changed");
      this.#out(true);
    });
  }

  /** Follows what other tabs of this browser do to the session. Returns what ends that. */
  start(): () => void {
    if (typeof BroadcastChannel === "undefined") return () => {};
    const tabs = (this.#tabs = new BroadcastChannel("gridpost.session"));
    tabs.onmessage = ({ data }: MessageEvent<Change>) => {
      if (data === "out") this.#out(false);
      else this.restore().catch(() => {}); // the hub is away: the link says so, and asks for the session when it is back
    };
    return () => {
      tabs.close();
      this.#tabs = null;
    };
  }

  #tell(change: Change): void {
    this.#tabs?.postMessage(change);
  }

  /** Whether the person may do what a role may. */
  may(role: Role): boolean {
    return this.status === "in" && ranks.indexOf(this.role) >= ranks.indexOf(role);
  }

  /** Asks the hub who is signed in. Throws ApiError with status 0 when it cannot be reached. */
  async restore(): Promise<void> {
    try {
      this.#in(await api.get<Session>("/api/v1/session"));
    } catch (error) {
      // A 401 has been told by onSignedOut already, and whether it ended a session is known there.
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
    }
  }

  /** Signs in; throws ApiError: 401 wrong (or, with the code totp_required, a code is needed too), 403 wrong code, 429 too often. */
  async signIn(user: string, password: string, code = ""): Promise<void> {
    this.#in(await api.post<Session>("/api/v1/session", { user, password, ...(code && { code }) }));
    this.#tell("changed");
  }

  async signOut(): Promise<void> {
    try {
      await api.delete("/api/v1/session");
    } catch (error) {
      // Out is out at this desk only when the hub has taken it; a session that is over already is.
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
    }
    this.#out(false);
    this.#tell("out");
  }

  /** Changes the person's own password. */
  async changePassword(current: string, next: string): Promise<void> {
    await api.put("/api/v1/session/password", { current, next });
  }

  #in(s: Session): void {
    this.user = s.user;
    this.role = s.role;
    this.expires = s.expires_at ? new Date(s.expires_at) : null;
    this.demo = s.demo ?? false;
    this.ended = false;
    this.status = "in";
  }

  #out(ended: boolean): void {
    this.ended = ended && (this.ended || this.status === "in");
    this.status = "out";
    this.user = "";
    this.role = "monitor";
    this.expires = null;
  }
}

export const session = new SessionStore();
