/** Dialogs: the browser's own <dialog>, which keeps the focus inside and closes with Escape. */

import { Problem } from "../core/api.js";
import { freshId, h, show } from "../core/dom.js";
import { problemNote } from "./feedback.js";
import { place } from "./form.js";

/**
 * Asks with a form. `submit` may throw a Problem: it is shown in the dialog, which stays open.
 *
 * @param {{title: string, body: Node[], action: string, tone?: string, submit: Function}} question
 * @returns {Promise<any>} what `submit` gave; undefined if the person changed their mind
 */
export function ask({ title, body, action, tone = "primary", submit }) {
  const [trouble, heading] = [h("div", { hidden: true }), freshId("title")];
  const go = h("button", { class: `button ${tone}`, type: "submit" }, action);
  const cancel = h("button", { class: "button", type: "button" }, "Cancel");
  const form = h(
    "form",
    { novalidate: true },
    h("h2", { id: heading }, title),
    ...body,
    trouble,
    h("div", { class: "row end" }, cancel, go),
  );
  const dialog = h("dialog", { "aria-labelledby": heading }, form);
  return new Promise((resolve) => {
    let answer;
    cancel.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      go.disabled = true;
      trouble.hidden = true;
      try {
        answer = (await submit()) ?? true;
        dialog.close();
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        const rest = place(form, problem);
        trouble.hidden = rest === null;
        if (rest) show(trouble, problemNote(rest));
      } finally {
        go.disabled = false;
      }
    });
    open(dialog);
  });
}

/** Asks yes or no, before something that cannot be taken back. */
export const sure = (title, text, action, submit) =>
  ask({ title, body: [h("p", {}, text)], action, tone: "danger", submit });

/** Shows something with nothing to decide. */
export function tell(title, ...body) {
  const heading = freshId("title");
  const close = h("button", { class: "button primary" }, "Close");
  const dialog = h(
    "dialog",
    { "aria-labelledby": heading },
    h(
      "div",
      { class: "body" },
      h("h2", { id: heading }, title),
      ...body,
      h("div", { class: "row end" }, close),
    ),
  );
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  open(dialog);
}

function open(dialog) {
  document.body.append(dialog);
  dialog.showModal();
}
