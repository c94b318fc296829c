/** Keys that work everywhere; letters never while somebody types. */

import { app } from "../core/app.js";
import { h } from "../core/dom.js";
import { tell } from "./dialog.js";

const PLACES = {
  o: ["/", "Overview"],
  c: ["/calls", "Calls"],
  p: ["/personas", "Personas"],
  v: ["/voices", "Voices"],
  n: ["/numbers", "Numbers"],
  r: ["/routes", "Routes"],
  s: ["/schedules", "Schedules"],
  w: ["/workers", "Workers"],
  t: ["/trunks", "Trunks"],
  l: ["/limits", "Limits"],
  k: ["/keys", "API keys"],
  h: ["/webhooks", "Webhooks"],
  a: ["/audit", "Audit log"],
};
const SECOND_KEY_MS = 1_200;

let waiting = 0;
let listening = false;

/** Begins to listen, once. */
export function listen() {
  if (!listening) addEventListener("keydown", onKey);
  listening = true;
}

function onKey(event) {
  if ((event.ctrlKey || event.metaKey) && event.key === "s") return press(event, "[data-key=save]");
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return undefined;
  if (app.session === null || document.querySelector("dialog[open]")) return undefined;
  if (event.key === "/") return press(event, "[data-key=search]");
  if (event.key === "?") return help();
  const second = performance.now() - waiting < SECOND_KEY_MS;
  waiting = event.key === "g" && !second ? performance.now() : 0;
  if (second && PLACES[event.key]) app.router.go(PLACES[event.key][0]);
  return undefined;
}

const typing = (target) =>
  target.closest?.("input, textarea, select, [contenteditable], audio") !== null;

function press(event, selector) {
  const control = document.querySelector(selector);
  if (control === null) return;
  event.preventDefault();
  if (control.matches("button")) control.click();
  else control.focus();
}

function help() {
  const keys = [
    ["/", "Search"],
    ["Ctrl + S", "Save"],
    ["?", "Keyboard shortcuts"],
    ...Object.entries(PLACES).map(([key, [, label]]) => [`g then ${key}`, label]),
  ];
  tell(
    "Keyboard shortcuts",
    h(
      "dl",
      { class: "facts" },
      ...keys.map(([key, label]) =>
        h("div", {}, h("dt", {}, label), h("dd", {}, h("code", {}, key))),
      ),
    ),
  );
}
