// One incident: its picture, its facts, what happened, and the cameras near it.

import { get, post } from "./api.js";
import { t, word, time, number, metres, has } from "./i18n.js";
import { siteOf } from "./incidents.js";

const $ = (id) => document.getElementById(id);

export class Detail {
  #live;
  #may; // () => whether this person may watch cameras
  #id = null;
  #incident = null;
  #nearby = null;
  #timers = new Map();

  constructor(live, may) {
    this.#live = live;
    this.#may = may;
    $("acknowledge").addEventListener("click", () => this.#act("acknowledge"));
    $("close-incident").addEventListener("click", () => this.#act("close"));
  }

  get id() {
    return this.#id;
  }

  async open(id) {
    this.#live.stop();
    this.#id = id;
    this.#incident = null;
    this.#nearby = null;
    $("detail-none").hidden = true;
    $("incident-detail").hidden = false;
    $("detail-error").textContent = "";
    await Promise.all([this.#loadIncident(id), this.#loadNearby(id, true)]);
  }

  leave() {
    this.#live.stop();
    this.#id = null;
    $("incident-detail").hidden = true;
    $("detail-none").hidden = false;
  }

  // changed is told of each event of the stream; bursts become one look at the hub.
  changed(name, data) {
    const id = this.#id;
    if (!id) return;
    if (name === "incident" && data.id === id) this.#soon("incident", () => this.#loadIncident(id));
    if (name === "device") this.#soon("nearby", () => this.#loadNearby(id, false));
  }

  // refresh looks at everything again.
  refresh() {
    const id = this.#id;
    if (!id) return;
    this.#loadIncident(id);
    this.#loadNearby(id, false);
  }

  redraw() {
    if (this.#incident) this.#draw();
    if (this.#nearby) this.#drawNearby();
  }

  #soon(name, what) {
    if (this.#timers.has(name)) return;
    this.#timers.set(name, setTimeout(() => {
      this.#timers.delete(name);
      what();
    }, 200));
  }

  async #loadIncident(id) {
    try {
      const incident = await get(`/api/v1/incidents/${encodeURIComponent(id)}`);
      if (id !== this.#id) return;
      const first = !this.#incident;
      this.#incident = incident;
      this.#draw();
      if (first) $("detail-title").focus(); // also scrolls to it where the list is above
    } catch (error) {
      this.#fail(id, error);
    }
  }

  async #loadNearby(id, play) {
    try {
      const nearby = await get(`/api/v1/nearby?incident=${encodeURIComponent(id)}`);
      if (id !== this.#id) return;
      this.#nearby = nearby;
      this.#drawNearby();
      if (play) this.#playFirst(id);
    } catch (error) {
      if (id !== this.#id) return;
      $("nearby").replaceChildren();
      $("nearby-none").textContent = error.message;
    }
  }

  // playFirst shows the best camera without a further click, if it does see the place.
  #playFirst(id) {
    const best = (this.#nearby.nearby ?? [])[0];
    if (!this.#may()) {
      $("live-state").textContent = t("live.monitor");
    } else if (best?.sees && best.state === "online") {
      this.#watch(best);
    }
  }

  #watch(camera) {
    if (this.#live.shows(camera.edge, camera.device)) return;
    $("live-name").textContent = `${camera.edge}/${camera.device}`;
    this.#live.start(camera.edge, camera.device, this.#id);
    this.#mark();
  }

  async #act(what) {
    const id = this.#id;
    const buttons = [$("acknowledge"), $("close-incident")];
    for (const b of buttons) b.disabled = true;
    $("detail-error").textContent = "";
    try {
      await post(`/api/v1/incidents/${encodeURIComponent(id)}/${what}`);
      if (id === this.#id) await this.#loadIncident(id);
    } catch (error) {
      this.#fail(id, error);
    } finally {
      if (this.#incident) this.#buttons();
    }
  }

  #fail(id, error) {
    if (id === this.#id) $("detail-error").textContent = error.message;
  }

  #buttons() {
    $("acknowledge").disabled = this.#incident.state !== "open";
    $("close-incident").disabled = this.#incident.state === "closed";
  }

  #draw() {
    const i = this.#incident;
    $("detail-title").textContent = i.title;
    this.#buttons();
    this.#drawSnapshot(i);
    const facts = [
      ["severity", word("severity", i.severity)],
      ["state", word("state", i.state)],
      ["condition", word("condition", i.condition)],
      ["site", siteOf(i)],
      ["rule", i.rule],
      ["opened", time(i.opened_at)],
      ["received", time(i.received_at)],
      ["closed", i.closed_at ? time(i.closed_at) : ""],
      ["class", i.class],
      ["value", measured(i)],
      ["count", i.count > 1 ? number(i.count, 0) : ""],
      ["assignee", i.assignee],
      ["place", i.place ? `${i.place.lat.toFixed(5)}, ${i.place.lon.toFixed(5)}` : ""],
    ];
    $("facts").replaceChildren(...facts.filter(([, text]) => text).flatMap(([key, text]) => [
      element("dt", t(`fact.${key}`)), element("dd", text),
    ]));
    $("timeline").replaceChildren(...(i.timeline ?? []).map((entry) => {
      const item = document.createElement("li");
      const at = element("time", time(entry.at));
      at.dateTime = entry.at;
      item.append(at, " ", element("b", word("timeline", entry.kind)), " ", [entry.who, entry.text].filter(Boolean).join(": "));
      return item;
    }));
  }

  #drawSnapshot(i) {
    const picture = (i.evidence ?? []).find((e) => e.complete && e.content_type?.startsWith("image/"));
    const img = $("snapshot");
    img.hidden = !picture;
    $("snapshot-none").hidden = Boolean(picture);
    $("snapshot-none").textContent = t("detail.snapshot.none");
    if (!picture) {
      img.removeAttribute("src");
      return;
    }
    img.alt = t("detail.snapshot.alt", { title: i.title });
    if (img.getAttribute("src") !== picture.url) img.src = picture.url;
  }

  #drawNearby() {
    const cameras = this.#nearby.nearby ?? [];
    let remark = "";
    if (this.#nearby.place === null) remark = t("nearby.noplace");
    else if (cameras.length === 0) remark = t("nearby.none");
    else if (!cameras.some((c) => c.sees)) remark = t("nearby.unseen");
    $("nearby-none").textContent = remark;
    const focused = document.activeElement?.closest?.("#nearby .camera")?.dataset;
    $("nearby").replaceChildren(...cameras.map((c) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "camera";
      Object.assign(button.dataset, { edge: c.edge, device: c.device, sees: c.sees, state: c.state });
      button.disabled = !this.#may();
      button.append(element("b", `${c.edge}/${c.device}`), " ", element("span", reason(c)));
      button.addEventListener("click", () => this.#watch(c));
      const item = document.createElement("li");
      item.append(button);
      return item;
    }));
    if (focused) {
      for (const b of $("nearby").querySelectorAll(".camera")) {
        if (b.dataset.edge === focused.edge && b.dataset.device === focused.device) b.focus({ preventScroll: true });
      }
    }
    this.#mark();
  }

  #mark() {
    for (const b of $("nearby").querySelectorAll(".camera")) {
      b.setAttribute("aria-pressed", String(this.#live.shows(b.dataset.edge, b.dataset.device)));
    }
  }
}

function element(name, text) {
  const el = document.createElement(name);
  el.textContent = text;
  return el;
}

function measured(i) {
  if (i.value === undefined || i.value === null) return "";
  const value = number(i.value);
  if (i.limit === undefined || i.limit === null) return `${value} ${i.unit ?? ""}`.trim();
  return t("value.limit", { value, limit: number(i.limit), unit: i.unit ?? "" });
}

// reason says in the page's language what the hub's reason says in English.
function reason(c) {
  if (!has(`sight.${c.sight}`)) return c.reason;
  const sight = t(`sight.${c.sight}`, { distance: metres(c.distance) });
  if (c.state === "online") return sight;
  return `${sight} · ${word("device", c.state)}${c.cause ? `: ${c.cause}` : ""}`;
}
