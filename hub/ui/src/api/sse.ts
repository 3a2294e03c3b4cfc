// A reader of server-sent events over fetch. EventSource would hide three things that an honest
// link needs: the status of a refusal, the hub's keep-alive comments, and Last-Event-ID at the start.

export interface ServerEvent {
  id: string; // the last one given, also by earlier events
  name: string;
  data: string;
}

/** Turns pieces of text into events, as the HTML standard says (§9.2.6). One per stream. */
export class EventParser {
  #rest = "";
  #id: string;
  #name = "";
  #data: string[] = [];

  constructor(id = "") {
    this.#id = id;
  }

  /** The ID to go on from. Also set by an event without data. */
  get lastId(): string {
    return this.#id;
  }

  push(text: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    this.#rest += text;
    // A lone CR at the end may be the first half of CRLF: it waits.
    const end = this.#rest.endsWith("\r") ? this.#rest.length - 1 : this.#rest.length;
    const ready = this.#rest.slice(0, end).split(/\r\n|\n|\r/);
    const open = ready.pop() ?? "";
    this.#rest = open + this.#rest.slice(end);
    for (const line of ready) {
      const event = this.#line(line);
      if (event) events.push(event);
    }
    return events;
  }

  #line(line: string): ServerEvent | null {
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
