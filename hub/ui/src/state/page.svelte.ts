// What the browser's tab says: the view, and how many incidents wait; and the title of the view, which has
// the focus when one enters.
class PageTitle {
  #view = $state("");
  waiting = $state(0);
  /** a view has been entered whose title was not there yet; it takes the focus when it comes */
  wanted = false;

  name(view: string): void {
    this.#view = view;
  }

  /** Puts the focus on the view's title; on the view until its title comes. */
  focus(): void {
    const main = document.querySelector<HTMLElement>("main");
    const title = main?.querySelector<HTMLElement>("h1[tabindex]");
    this.wanted = !title;
    (title ?? main)?.focus({ preventScroll: true });
  }

  readonly text: string = $derived(`${this.waiting ? `(${this.waiting}) ` : ""}${this.#view ? `${this.#view} · ` : ""}Gridpost`);
}

export const page = new PageTitle();
