// The tabs of a browser share one live stream: over HTTP/1.1 a browser has six connections to a host, and each stream
// takes one for good. One tab leads: it reads the stream and passes on what it gets; the others follow. When the
// leading tab is closed, the next one takes the lead at once (by Web Locks, or by messages where there are none); when it
// no longer answers, too.
import type { ServerEvent } from "../api/sse";
import { Election, type Vote } from "./election";
import type { LinkCause, LinkState } from "./link.svelte";

/** What the leading tab knows of the link. */
export interface Standing {
  state: LinkState;
  cause: LinkCause;
  status: number;
  since: number;
  lastId: string;
  history: string; // that lastId belongs to
  greeted: string; // history of the present stream
}

export type Message =
  | { kind: "ask" } // to the leading tab, which answers with its standing
  | { kind: "retry" } // to the leading tab: somebody does not want to wait
  | { kind: "standing"; standing: Standing }
  /** An event that the leading tab has handled; before is the ID before it, and history that of the stream. */
  | { kind: "event"; event: ServerEvent; before: string; history: string }
  | Vote;

/** The lead, until lost is aborted or end is called. */
export interface Lead {
  lost: AbortSignal;
  end: () => void;
}

export interface Tabs {
  /** Waits for the lead; rejects when the signal is aborted before. */
  lead(signal: AbortSignal): Promise<Lead>;
  /** Takes the lead from the tab that has it; null where a further lead() does that, as nobody answers. */
  steal(): Promise<Lead | null>;
  /** Sends to all other tabs. */
  send(m: Message): void;
  close(): void;
}

/** The tabs of this browser that have the same name; null where it has no means for it: each tab has its own stream then. */
export function browserTabs(name: string, receive: (m: Message) => void): Tabs | null {
  if (typeof window === "undefined" || typeof BroadcastChannel === "undefined") return null;
  const channel = new BroadcastChannel(name);
  const send = (m: Message) => channel.postMessage(m);
  if (!navigator.locks) return elected(channel, send, receive);
  channel.onmessage = (e: MessageEvent<Message>) => receive(e.data);
  const request = (o: LockOptions): Promise<Lead> =>
    new Promise((resolve, reject) => {
      const lost = new AbortController();
      // A lock is held until the promise of its callback settles; a lock that is stolen rejects the request.
      const held = () => new Promise<void>((end) => resolve({ lost: lost.signal, end }));
      navigator.locks.request(name, o, held).catch((error: unknown) => {
        lost.abort();
        reject(error as Error);
      });
    });
  return {
    lead: (signal) => request({ signal }),
    steal: () => request({ steal: true }),
    send,
    close: () => channel.close(),
  };
}

/** Takes in a message where tabs elect the leading one. */
export function take(election: Election, m: Message, receive: (m: Message) => void): void {
  if (m.kind === "vote") return election.receive(m);
  if (m.kind === "standing" || m.kind === "event") election.contest();
  receive(m);
}

function elected(channel: BroadcastChannel, send: (m: Message) => void, receive: (m: Message) => void): Tabs {
  const election = new Election(send, () => document.hidden);
  channel.onmessage = ({ data }: MessageEvent<Message>) => take(election, data, receive);
  const leave = () => election.leave();
  addEventListener("pagehide", leave);
  return {
    lead: (signal) => election.lead(signal),
    steal: () => Promise.resolve(null),
    send,
    close: () => {
      leave();
      removeEventListener("pagehide", leave);
      channel.close();
    },
  };
}
