import { mount } from "svelte";
import "./tokens.css";
import "./base.css";
import "./ui/controls.css";
import App from "./App.svelte";
import { prefs } from "./state/prefs.svelte";

prefs.apply();
const target = document.getElementById("app");
if (!target) throw new Error("index.html has no #app");
mount(App, { target });
