// A reader of server-sent events over fetch. EventSource would hide three things that an honest
// link needs: the status of a refusal, the hub's keep-alive comments, and Last-Event-ID at the start.

export interface ServerEvent {
  /** the ID to go on from once this event has been handled; the last one given, also by earlier events */
  id: string;
  name: string;
  data: string;
}

/**
 * Turns pieces of text into events, as the HTML standard says (§9.2.6). One per stream.
 *
 * Events are handed over one by one. The ID of an event is committed when the next one is asked for, that is
 * when it has been handled: a stream that is interrupted before then continues from the event before it.
 */
export class EventParser {
  #rest = "";
  #id: string; // of the lines that have been read
  #committed: string;
  #name = "";
  #data: string[] = [];

  constructor(id = "") {
    this.#id = this.#committed = id;
  }

  /** The ID to go on from: that of the last event that was handled, or of one without data since. */
  get lastId(): string {
    return this.#committed;
  }

  /** Adds text and gives the events that it completes. Each counts as handled when the next is asked for. */
  *push(text: string): Generator<ServerEvent, void, void> {
    this.#rest += text;
    for (let line = this.#line(); line !== null; line = this.#line()) {
      const event = this.#read(line);
      if (event) yield event;
      if (line === "") this.#committed = this.#id;
    }
  }

  /** Takes one whole line from the text; null if there is none. */
  #line(): string | null {
    const at = this.#rest.search(/[\r\n]/);
    // A lone CR at the end may be the first half of CRLF: it waits.
    if (at < 0 || (this.#rest[at] === "\r" && at === this.#rest.length - 1)) return null;
    const line = this.#rest.slice(0, at);
    this.#rest = this.#rest.slice(at + (this.#rest.startsWith("\r\n", at) ? 2 : 1));
    return line;
  }

  #read(line: string): ServerEvent | null {
    if (line === "") {
      const event = { id: this.#id, name: this.#name || "message", data: this.#data.join("\n") };
      const some = this.#data.length > 0;
      this.#name = "";
      this.#data = [];
      return some ? event : null;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "event") this.#name = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    return null;
  }
}
