/** What the console says back: toasts, notes, and problems in words. */

import { Problem } from "../core/api.js";
import { h, show } from "../core/dom.js";
import { icon } from "./icons.js";

const STAYS_MS = 5_000;
const ICONS = { danger: "warning", warning: "warning", good: "check", "": "info" };

let box = null;

/** A short word at the edge of the page; read out by screen readers. */
export function toast(text, tone = "") {
  if (!box?.isConnected) { // the first one, or the first since somebody logged in
    box = document.body.appendChild(
      h("div", { class: "toasts", role: "status", "aria-live": "polite" }),
    );
  }
  const element = h("div", { class: "toast", data: { tone } }, text);
  show(box, element);
  setTimeout(() => element.remove(), STAYS_MS);
}

/** A note in the page. */
export function note(tone, ...children) {
  return h(
    "div",
    { class: "note", data: { tone }, role: tone === "danger" ? "alert" : null },
    icon(ICONS[tone]),
    h("div", {}, ...children),
  );
}

/** A problem as a note: what was wrong, and who is in the way. */
export function problemNote(problem) {
  const mistakes = problem.errors?.filter((error) => error.detail !== problem.detail) ?? [];
  return note(
    "danger",
    h("div", {}, sentence(problem.detail ?? problem.message)),
    mistakes.length > 0 &&
      h("ul", {}, ...mistakes.map((error) => h("li", {}, `${error.pointer}: ${error.detail}`))),
  );
}

/** Runs what may be refused; a refusal becomes a toast. Returns whether it went well. */
export async function attempt(work, done = "") {
  try {
    await work();
    if (done) toast(done);
    return true;
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    toast(sentence(problem.detail), "danger");
    return false;
  }
}

/** "the key is unknown" -> "The key is unknown." */
export function sentence(text) {
  const whole = String(text);
  const end = /[.!?…]$/.test(whole) ? "" : ".";
  return whole.charAt(0).toUpperCase() + whole.slice(1) + end;
}
