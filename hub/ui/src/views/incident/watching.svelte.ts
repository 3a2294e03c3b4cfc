// The view of one clip: it begins when somebody asks for it, and ends when the clip is not looked at any more. Each is on record.
import { api, path } from "../../api/client";
import type { ClipView, EvidenceFile } from "../../api/types";

export class Watching {
  /** the clip's address as long as the view goes on; empty: there is none */
  url = $state("");
  busy = $state(false);
  /** why it could not begin; null if it could */
  error: unknown = $state.raw(null);
  #incident: string;
  #file = "";
  #id = "";

  constructor(incident: string) {
    this.#incident = incident;
  }

  /** Begins a view. reason is what it is for, where the incident does not say it. */
  async begin(f: EvidenceFile, reason: string): Promise<void> {
    if (this.busy) return;
    this.end();
    this.busy = true;
    this.error = null;
    try {
      const view = await api.post<ClipView>(path`/api/v1/evidence/${this.#incident}/${f.name}/views`, reason ? { reason } : {});
      this.#id = view.id;
      this.#file = f.name;
      this.url = view.url;
    } catch (error) {
      this.error = error;
    } finally {
      this.busy = false;
    }
  }

  /** Ends the view, also while the page goes away. The hub ends it by itself after some minutes. */
  end(): void {
    if (!this.#id) return;
    void api.delete(path`/api/v1/evidence/${this.#incident}/${this.#file}/views/${this.#id}`, { keepalive: true }).catch(() => {});
    this.#id = this.url = "";
  }
}
