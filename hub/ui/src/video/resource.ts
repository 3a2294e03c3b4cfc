// The resource that a view has at the hub, whichever way its video takes.
import { ApiError } from "../api/client";
import { type Cause, causeOfAnswer, causeOfEnd } from "./causes";
import type { Environment } from "./environment";

export class Resource {
  #location = "";

  constructor(private readonly environment: Environment) {}

  /** Whether the hub has begun the view, and it has not ended. */
  get exists(): boolean { return this.#location !== ""; }

  begin(location: string): void {
    this.#location = location;
  }

  /** Asks the hub whether the view still goes on. Null if it does or the hub cannot say. */
  async check(): Promise<Cause | null> {
    if (!this.#location) return null;
    try {
      await this.environment.ask(this.#location);
      return null;
    } catch (error) {
      if (!(error instanceof ApiError)) return null;
      if (error.status === 410 || error.status === 404) this.#location = "";
      if (error.status === 410) return causeOfEnd(error);
      if (error.status === 404) return { code: "hub.forgot" }; // it was started anew
      return error.status === 0 || error.status === 401 ? causeOfAnswer(error) : null;
    }
  }

  /** Ends the view at the hub, and then calls hangUp: the hub hears it first by the request, so that its record says who ended the view. */
  end(hangUp: () => void): void {
    if (this.#location) void this.environment.remove(this.#location).then(hangUp);
    else hangUp();
    this.#location = "";
  }
}
