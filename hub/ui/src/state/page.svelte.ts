// What the browser's tab says: the view, and how many incidents wait.
class PageTitle {
  #view = $state("");
  waiting = $state(0);
  /** a view has been entered whose title was not there yet; it takes the focus when it comes */
  wanted = false;

  name(view: string): void {
    this.#view = view;
  }

  readonly text: string = $derived(`${this.waiting ? `(${this.waiting}) ` : ""}${this.#view ? `${this.#view} · ` : ""}Gridpost`);
}

export const page = new PageTitle();
