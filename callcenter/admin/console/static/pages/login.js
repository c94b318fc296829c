/** The door: an API key's secret for a session. */

import { Problem, logIn } from "../core/api.js";
import { h, show } from "../core/dom.js";
import { note, sentence } from "../parts/feedback.js";
import { line } from "../parts/form.js";
import { brand } from "../parts/frame.js";

/** @param {(session: object) => void} enter */
export function door(enter) {
  const [value, trouble] = [{ secret: "" }, h("div", { hidden: true })];
  const form = h(
    "form",
    { class: "form", novalidate: true },
    line(value, "secret", "API key", {
      hint: "The first admin's key was printed when the admin app started for the first time.",
      attributes: { type: "password", autocomplete: "current-password", spellcheck: "false" },
    }),
    trouble,
    h("button", { class: "button primary", type: "submit" }, "Log in"),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    trouble.hidden = true;
    try {
      enter(await logIn(value.secret.trim()));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      trouble.hidden = false;
      show(
        trouble,
        note("danger", problem.status === 422 ? "Type the key first." : sentence(problem.detail)),
      );
    }
  });
  return h(
    "main",
    { class: "door" },
    h("div", { class: "card" }, brand(), h("h1", {}, "Log in"), form),
  );
}
