// What stands between an edge and all tiles of its cameras, known once for all of them: the hub does not answer, or the
// edge is away. The live stream, the list of edges and the views themselves report it.
//
//   up -> edge away -> up       over both of them: the hub does not answer
//
// What always holds: while the hub does not answer, nothing is said of an edge; all tiles of an edge say the same; when
// it is over, all of them try at once.
import type { Cause } from "./causes";

/** A tile, as far as its edge is concerned. */
export interface Member {
  /** what the edge says has changed */
  changed: () => void;
  /** nothing stands in between any more: a pause is not waited for */
  nudge: () => void;
}

/** Causes of one view that hold for all cameras of the edge. */
const ofEdge: ReadonlySet<Cause["code"]> = new Set(["site.offline", "site.silent", "site.lost"]);
/** Causes that this page has found out by itself, without an answer of the hub. */
const ofPage = /^(line|picture|relay|http)\.|^browser$/;
/** Causes that mean that no answer came from the hub. */
const ofHub: ReadonlySet<Cause["code"]> = new Set(["hub.unreachable", "hub.timeout"]);

export class Edge {
  #members = new Set<Member>();
  #online: boolean | null = null; // as the hub has it; null: not known
  #away: Cause | null = null;
  #said: Cause | null = null;

  constructor(private readonly hub: Hub, private readonly empty: () => void) {}

  /** Why no tile of this edge can have new frames; null: nothing is known to stand in between. */
  get cause(): Cause | null { return this.hub.away ?? this.#away; }

  get hubAway(): boolean { return this.hub.away !== null; }

  /** Adds a tile until the returned function is called. */
  join(m: Member): () => void {
    this.#members.add(m);
    return () => {
      this.#members.delete(m);
      if (this.#members.size === 0) this.empty();
    };
  }

  /** Takes in whether the edge is connected to the hub, as the hub's list has it. */
  online(online: boolean): void {
    if (online === this.#online) return;
    this.#online = online;
    this.#away = online ? null : { code: "site.offline" };
    this.look();
  }

  /** A view of one of its cameras has ended, or did not begin. */
  failed(cause: Cause): void {
    if (ofHub.has(cause.code)) return this.hub.failed();
    if (!ofPage.test(cause.code)) this.hub.answered();
    if (!ofEdge.has(cause.code)) return;
    this.#away ??= { code: cause.code };
    this.look();
  }

  /** The hub has begun a view. */
  answered(): void {
    this.hub.answered();
  }

  /** A frame of one of its cameras came: the edge is there. */
  frame(): void {
    if (this.#away === null || this.#online === false) return;
    this.#away = null;
    this.look();
  }

  /** Tells the tiles when something else is to be said. */
  look(): void {
    const before = this.#said;
    const now = this.cause;
    if (before?.code === now?.code) return;
    this.#said = now;
    for (const m of [...this.#members]) {
      m.changed();
      if (now === null) m.nudge();
    }
  }
}

/** Whether the hub answers, for all edges of a page. */
export class Hub {
  #edges = new Map<string, Edge>();
  #linkLost = false;
  #unanswered = false; // a request had no answer, and none has had one since

  /** The cause while it does not answer. */
  get away(): Cause | null { return this.#linkLost || this.#unanswered ? { code: "hub.unreachable" } : null; }

  /** What all tiles of an edge share. It is kept as long as it has any. */
  edge(name: string): Edge {
    let edge = this.#edges.get(name);
    if (!edge) {
      const made: Edge = new Edge(this, () => { if (this.#edges.get(name) === made) this.#edges.delete(name); });
      edge = made;
      this.#edges.set(name, edge);
    }
    return edge;
  }

  /** Takes in whether the live stream stands. */
  link(stands: boolean): void {
    this.#linkLost = !stands;
    if (stands) this.#unanswered = false;
    this.#look();
  }

  failed(): void {
    this.#unanswered = true;
    this.#look();
  }

  answered(): void {
    if (!this.#unanswered) return;
    this.#unanswered = false;
    this.#look();
  }

  #look(): void {
    for (const edge of this.#edges.values()) edge.look();
  }
}
