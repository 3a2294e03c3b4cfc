import { MediaQuery } from "svelte/reactivity";

/** The list has room for a curve of its own width: one question for all rows. */
export const wide = new MediaQuery("(min-width: 1500px)");
