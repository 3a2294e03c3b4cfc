// The resource that a view has at the hub, whichever way its video takes.
import { ApiError } from "../api/client";
import { type Cause, causeOfAnswer, causeOfEnd } from "./causes";
import type { Address, Environment } from "./environment";

export class Resource {
  #view: Address | null = null;

  constructor(private readonly environment: Environment) {}

  /** Whether the hub has begun the view, and it has not ended. */
  get exists(): boolean { return this.#view !== null; }

  begin(view: Address): void {
    this.#view = view;
  }

  /** Asks the hub whether the view still goes on. Null if it does or the hub cannot say. */
  async check(): Promise<Cause | null> {
    const view = this.#view;
    if (!view) return null;
    try {
      await this.environment.ask(view);
      return null;
    } catch (error) {
      if (!(error instanceof ApiError)) return null;
      if (error.status === 410 || error.status === 404) this.#view = null;
      if (error.status === 410) return causeOfEnd(error);
      if (error.status === 404) return { code: "hub.forgot" }; // it was started anew
      return error.status === 0 || error.status === 401 ? causeOfAnswer(error, view) : null;
    }
  }

  /** Ends the view at the hub, and then calls hangUp: the hub hears it first by the request, so that its record says who ended the view. */
  end(hangUp: () => void): void {
    if (this.#view) void this.environment.remove(this.#view).then(hangUp);
    else hangUp();
    this.#view = null;
  }
}
