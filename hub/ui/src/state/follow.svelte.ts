// A second window follows the main one: which incident is chosen there is told over a channel of this browser, so
// that only windows of one machine and one session hear it. Nothing of it goes to the hub.
const channel = "gridpost.follow";

/** ms that a choice in the list stands before it is told: who runs through the list by keys does not start cameras. */
export const pause = 700;

type Message = { kind: "chosen"; incident: string; at: number } | { kind: "ask" };

/** What is needed of a BroadcastChannel. */
export interface Channel {
  postMessage: (m: Message) => void;
  onmessage: ((e: { data: unknown }) => void) | null;
  close: () => void;
}

const open = (): Channel => new BroadcastChannel(channel) as unknown as Channel;

/** Whether a message is one of ours: other versions of the console may be open. */
function parse(data: unknown): Message | null {
  const m = data as Partial<Record<"kind" | "incident" | "at", unknown>> | null;
  if (m?.kind === "ask") return { kind: "ask" };
  if (m?.kind === "chosen" && typeof m.incident === "string" && typeof m.at === "number") return { kind: "chosen", incident: m.incident, at: m.at };
  return null;
}

/** The main window's end. */
export class Leader {
  #channel: Channel;
  #told: Message | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(make: () => Channel = open, private readonly now: () => number = Date.now) {
    this.#channel = make();
    this.#channel.onmessage = (e) => {
      if (parse(e.data)?.kind === "ask" && this.#told) this.#channel.postMessage(this.#told);
    };
  }

  /** Tells which incident is chosen, at once or when it has been for a while. */
  choose(incident: string, atOnce: boolean): void {
    clearTimeout(this.#timer);
    if (incident === "" || (this.#told?.kind === "chosen" && this.#told.incident === incident)) return;
    const tell = () => {
      this.#told = { kind: "chosen", incident, at: this.now() };
      this.#channel.postMessage(this.#told);
    };
    if (atOnce) tell();
    else this.#timer = setTimeout(tell, pause);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#channel.close();
  }
}

/** The second window's end: the newest choice of all main windows. */
export class Follower {
  incident = $state("");
  #at = 0;
  #channel: Channel;

  constructor(make: () => Channel = open) {
    this.#channel = make();
    this.#channel.onmessage = (e) => {
      const m = parse(e.data);
      if (m?.kind !== "chosen" || m.at < this.#at) return;
      this.#at = m.at;
      this.incident = m.incident;
    };
    this.#channel.postMessage({ kind: "ask" });
  }

  close(): void {
    this.#channel.close();
  }
}

/** Opens the second window, or brings it to the front. False where the browser does not allow it. */
export function openScreen(): boolean {
  const w = window.open("/screen", "gridpost.screen", "popup,width=1280,height=800");
  w?.focus();
  return w !== null;
}
