// One live picture by WHEP (draft-ietf-wish-whep): offer by POST, the session's address in
// Location, DELETE to end it. Its state is told in words at every moment.

import { request, Refusal } from "./api.js";
import { t } from "./i18n.js";

const firstPicture = 15; // s until a view without a picture counts as lost
const frozen = 3; // s without a new picture until the person is told
const longest = 10; // min: a view ends by itself, as its record says
const pauses = [1, 2, 4, 8, 15]; // s before trying again

// Figures for whoever measures from outside: frames shown, and ms from the choice of the camera
// to the first of them.
window.__gridpost = { frames: 0, firstFrameMs: null };

export class Live {
  #video;
  #tell;
  #view = null; // what is being shown; replaced as a whole, so that late answers find no one

  // tell(state, text) is called at each change of state: none, asking, connecting, live,
  // frozen, lost, over.
  constructor(video, tell) {
    this.#video = video;
    this.#tell = tell;
    addEventListener("pagehide", () => this.stop());
  }

  // shows says whether this camera is being shown or tried.
  shows(edge, device) {
    return this.#view?.edge === edge && this.#view?.device === device;
  }

  start(edge, device, incident) {
    this.stop();
    window.__gridpost = { frames: 0, firstFrameMs: null };
    const view = {
      edge, device, incident, chosen: performance.now(), tries: 0, session: null,
      over: setTimeout(() => this.#end(view, "over", t("live.over", { minutes: longest })), longest * 60_000),
    };
    this.#view = view;
    this.#connect(view);
  }

  stop() {
    if (this.#view) this.#end(this.#view, "none", t("live.none"));
  }

  #end(view, state, text) {
    if (view !== this.#view) return;
    this.#view = null;
    clearTimeout(view.over);
    clearTimeout(view.again);
    this.#hangUp(view);
    this.#tell(state, text);
  }

  async #connect(view) {
    const session = { aborted: new AbortController(), pc: new RTCPeerConnection(), location: null, lastFrame: 0 };
    view.session = session;
    const current = () => view === this.#view && view.session === session;
    const lost = (cause, again = true) => current() && this.#lost(view, cause, again);
    this.#tell("asking", t("live.asking"));
    const { pc } = session;
    try {
      const transceiver = pc.addTransceiver("video", { direction: "recvonly" });
      if ("jitterBufferTarget" in transceiver.receiver) transceiver.receiver.jitterBufferTarget = 0;
      pc.ontrack = (event) => current() && this.#show(view, session, event);
      pc.onconnectionstatechange = () => {
        if (["failed", "closed"].includes(pc.connectionState)) lost(t("cause.ice"));
      };
      await pc.setLocalDescription(await pc.createOffer());
      const response = await this.#offer(view, session);
      if (!current()) return; // #hangUp has come before the session's address: end it now
      this.#tell("connecting", t("live.connecting"));
      await pc.setRemoteDescription({ type: "answer", sdp: await response.text() });
      this.#watch(view, session, current, lost);
    } catch (error) {
      if (!(error instanceof Refusal)) {
        lost(t("cause.answer"));
        return;
      }
      const hopeless = [400, 401, 403, 404].includes(error.status);
      lost(error.status === 0 ? t("cause.network") : error.message, !hopeless);
    }
  }

  async #offer(view, session) {
    const purpose = view.incident ? `?incident=${encodeURIComponent(view.incident)}` : "";
    const path = `/whep/${encodeURIComponent(view.edge)}/${encodeURIComponent(view.device)}${purpose}`;
    // The offer goes before any candidate is known: the hub's own candidates are enough, and
    // this saves the time of the gathering.
    const response = await request("POST", path, { body: session.pc.localDescription.sdp, type: "application/sdp" });
    const location = response.headers.get("Location");
    if (location) session.location = new URL(location, response.url).pathname;
    if (session.aborted.signal.aborted) this.#delete(session);
    return response;
  }

  #show(view, session, event) {
    const video = this.#video;
    video.srcObject = new MediaStream([event.track]);
    video.play().catch(() => { /* autoplay of a muted video is allowed; a new srcObject ends the old play() */ });
    const shown = () => {
      if (view !== this.#view || view.session !== session) return;
      session.lastFrame = performance.now();
      const figures = window.__gridpost;
      figures.frames += 1;
      figures.firstFrameMs ??= Math.round(session.lastFrame - view.chosen);
      if (!session.live) {
        session.live = true;
        view.tries = 0;
        this.#tell("live", t("live.live"));
      }
      video.requestVideoFrameCallback(shown);
    };
    video.requestVideoFrameCallback(shown);
  }

  // watch looks once a second whether pictures come. A page in the background shows none.
  #watch(view, session, current, lost) {
    const since = performance.now();
    session.timer = setInterval(() => {
      if (!current() || document.hidden) {
        session.hidden = performance.now();
        return;
      }
      const last = Math.max(session.lastFrame || since, session.hidden ?? 0);
      const silent = Math.floor((performance.now() - last) / 1000);
      if (silent >= firstPicture) lost(t("cause.silent", { seconds: firstPicture }));
      else if (session.lastFrame && silent >= frozen) {
        session.live = false;
        this.#tell("frozen", t("live.frozen", { seconds: silent }));
      }
    }, 1000);
  }

  #lost(view, cause, again) {
    this.#hangUp(view);
    if (!again) {
      this.#end(view, "lost", t("live.lost", { cause }));
      return;
    }
    const pause = pauses[Math.min(view.tries, pauses.length - 1)];
    view.tries += 1;
    this.#tell("lost", t("live.again", { cause, seconds: pause }));
    view.again = setTimeout(() => this.#connect(view), pause * 1000 * (0.75 + Math.random() / 2));
  }

  #hangUp(view) {
    const { session } = view;
    view.session = null;
    if (!session) return;
    session.aborted.abort();
    clearInterval(session.timer);
    session.pc.close();
    this.#video.srcObject = null;
    this.#delete(session);
  }

  // delete ends the session at the hub, also while the page is being left.
  #delete(session) {
    if (!session.location) return;
    request("DELETE", session.location, { keepalive: true }).catch(() => { /* the hub ends it without us */ });
    session.location = null;
  }
}
