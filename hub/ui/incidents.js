// The list of incidents: what is known, newest first, kept right by events in any order.

import { t, time, word } from "./i18n.js";

const most = 500; // rows; older ones are dropped from the page, not from the hub

export class Incidents {
  #known = new Map();
  #rows = new Map();
  #list;
  #choose;

  constructor(list, choose) {
    this.#list = list;
    this.#choose = choose;
  }

  get size() {
    return this.#known.size;
  }

  // put takes an incident in, unless a newer state of it is known already.
  put(incident) {
    const before = this.#known.get(incident.id);
    if (before && (before.version ?? 0) > (incident.version ?? 0)) return;
    this.#known.set(incident.id, incident);
    this.#draw(incident);
    if (this.#known.size > most) this.#dropOldest();
  }

  clear() {
    this.#known.clear();
    this.#rows.clear();
    this.#list.replaceChildren();
  }

  // redraw is for another language.
  redraw() {
    for (const incident of this.#known.values()) this.#draw(incident);
  }

  mark(id) {
    for (const [key, row] of this.#rows) row.firstChild.setAttribute("aria-current", String(key === id));
  }

  // cutAfter forgets what comes after an incident of the list.
  cutAfter(incident) {
    while (this.#list.lastElementChild && order(incident, this.#oldest()) < 0) this.#dropOldest();
  }

  #oldest() {
    return this.#known.get(this.#list.lastElementChild.firstChild.dataset.id);
  }

  #dropOldest() {
    const row = this.#list.lastElementChild;
    const { id } = row.firstChild.dataset;
    row.remove();
    this.#rows.delete(id);
    this.#known.delete(id);
  }

  #draw(incident) {
    let row = this.#rows.get(incident.id);
    if (!row) {
      row = this.#row(incident);
      this.#rows.set(incident.id, row);
      this.#list.insertBefore(row, this.#after(incident));
    }
    const button = row.firstChild;
    button.dataset.state = incident.state;
    button.dataset.severity = incident.severity;
    const [title, severity, state, site, at] = button.children;
    title.textContent = incident.title;
    severity.textContent = word("severity", incident.severity);
    state.textContent = word("state", incident.state);
    site.textContent = siteOf(incident);
    at.textContent = time(incident.opened_at);
    at.dateTime = incident.opened_at;
  }

  #row(incident) {
    const row = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "incident";
    button.dataset.id = incident.id;
    for (const name of ["title", "severity", "state", "site"]) {
      const part = document.createElement("span");
      part.className = name;
      button.append(part);
    }
    button.append(document.createElement("time"));
    button.addEventListener("click", () => this.#choose(incident.id));
    row.append(button);
    return row;
  }

  // after returns the row before which an incident belongs; null: at the end.
  #after(incident) {
    for (const row of this.#list.children) {
      const other = this.#known.get(row.firstChild.dataset.id);
      if (order(incident, other) < 0) return row;
    }
    return null;
  }
}

// order puts the incident that opened last first.
function order(a, b) {
  return new Date(b.opened_at) - new Date(a.opened_at) || (a.id < b.id ? 1 : -1);
}

// siteOf says where an incident comes from.
function siteOf(incident) {
  if (!incident.edge) return t("source.report");
  return incident.device ? `${incident.edge}/${incident.device}` : incident.edge;
}

export { siteOf };
