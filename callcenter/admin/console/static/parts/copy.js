/** Ids and secrets that somebody takes elsewhere: the text, and a button that copies it. */

import { h, show } from "../core/dom.js";
import { tell } from "./dialog.js";
import { icon } from "./icons.js";

const SAID_MS = 2_000;

/**
 * @param {string} text what is copied
 * @param {{what?: string, shape?: string, shown?: string}} look `what` names it for screen readers,
 *   `shown` is what stands there when it is not the whole text
 */
export function copyable(text, { what = "id", shape = "code", shown = text } = {}) {
  const words = h("span", { class: shape }, shown);
  const told = h("span", { class: "unseen", "aria-live": "polite" });
  const control = h(
    "button",
    { class: "button plain only-icon copy", type: "button", title: "Copy", "aria-label": `Copy ${what}` },
    icon("copy"),
  );
  control.addEventListener("click", async () => {
    const copied = await copy(text, words);
    show(control, icon(copied ? "check" : "copy"));
    show(told, copied ? "Copied" : "Selected: press Ctrl+C to copy");
    setTimeout(() => (show(control, icon("copy")), show(told)), SAID_MS);
  });
  return h("span", { class: "copyable" }, words, control, told);
}

/** Browsers give no clipboard to pages without https: there the text is selected instead. */
async function copy(text, words) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(words);
    return false;
  }
}

/** Shows a secret for the only time. */
export const tellSecret = (title, why, secret) =>
  tell(title, h("p", {}, why), h("div", { class: "secret" }, copyable(secret, { what: "secret" })));
