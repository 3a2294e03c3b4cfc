// The page as a whole: who is logged in, the list, the open incident, the live stream.

import { get, post, request } from "./api.js";
import { preferred, t, use } from "./i18n.js";
import { Detail } from "./detail.js";
import { Incidents } from "./incidents.js";
import { Live } from "./live.js";
import { Stream } from "./stream.js";

const $ = (id) => document.getElementById(id);

let session = null; // who is logged in: {user, role}
let connection = "";
let older = ""; // where the list goes on; empty: it does not

const live = new Live($("live"), (state, text) => {
  $("live").dataset.state = state;
  $("live-state").textContent = text;
});
const detail = new Detail(live, () => session?.role !== "monitor");
const incidents = new Incidents($("incidents"), (id) => {
  incidents.mark(id);
  detail.open(id);
});
const stream = new Stream({
  state: showConnection,
  fresh: () => {
    loadIncidents("");
    detail.refresh();
  },
  event: (name, data) => {
    if (name === "incident") {
      incidents.put(data);
      showCount();
    }
    detail.changed(name, data);
  },
  refused: async () => {
    try {
      await get("/api/v1/session");
      return true;
    } catch (error) {
      if (error.status !== 401) return true;
      showLogin(t("error.401"));
      return false;
    }
  },
});

function showConnection(state) {
  connection = state;
  $("connection").dataset.state = state;
  $("connection").textContent = state ? t(`connection.${state}`) : "";
}

function showCount() {
  $("incidents-none").hidden = incidents.size > 0;
}

function showLogin(message) {
  stream.close();
  detail.leave();
  incidents.clear();
  session = null;
  showConnection("");
  $("who").textContent = "";
  $("logout").hidden = true;
  $("desk").hidden = true;
  $("login").hidden = false;
  $("login-password").value = "";
  $("login-error").textContent = message;
  $("login-user").focus();
}

function showDesk(who) {
  session = who;
  $("who").textContent = who.user ?? "";
  $("logout").hidden = false;
  $("login").hidden = true;
  $("desk").hidden = false;
  $("login-password").value = "";
  stream.open();
}

async function loadIncidents(from) {
  try {
    const page = await get(`/api/v1/incidents${from ? `?next=${encodeURIComponent(from)}` : ""}`);
    for (const incident of page.incidents ?? []) incidents.put(incident);
    older = page.next ?? "";
    // What is older than a first page may have changed unseen: it is fetched again when wanted.
    if (!from && older) incidents.cutAfter(page.incidents.at(-1));
    $("incidents-more").hidden = !older;
    $("incidents-error").textContent = "";
    showCount();
    incidents.mark(detail.id);
  } catch (error) {
    if (error.status === 401) showLogin(error.message);
    else $("incidents-error").textContent = error.message;
  }
}

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("login-submit").disabled = true;
  $("login-error").textContent = "";
  try {
    const answer = await post("/api/v1/session", { user: $("login-user").value.trim(), password: $("login-password").value });
    showDesk(answer?.role ? answer : await get("/api/v1/session"));
  } catch (error) {
    $("login-error").textContent = error.status === 401 ? t("login.refused") : error.message;
  } finally {
    $("login-submit").disabled = false;
  }
});

$("logout").addEventListener("click", async () => {
  live.stop(); // first, while the session may still end its view
  try {
    await request("DELETE", "/api/v1/session");
    showLogin("");
  } catch (error) {
    if (error.status === 401) showLogin("");
    else $("incidents-error").textContent = error.message; // still logged in: say so
  }
});

$("incidents-more").addEventListener("click", () => loadIncidents(older));

$("language").addEventListener("change", async (event) => {
  await use(event.target.value);
  incidents.redraw();
  detail.redraw();
  if (connection) showConnection(connection);
});

async function begin() {
  const language = preferred();
  await use(language);
  $("language").value = language;
  try {
    showDesk(await get("/api/v1/session"));
  } catch (error) {
    showLogin(error.status === 401 ? "" : error.message);
  }
}

begin();
