/** Proving once more who one is, in the middle of something: what was typed stays. */

import { Problem, post, whoAmI } from "../core/api.js";
import { app } from "../core/app.js";
import { h } from "../core/dom.js";
import { ask } from "./dialog.js";
import { line } from "./form.js";

const WHY = "To change keys and trunks, you must have logged in within the last few minutes.";

/** Asks; whether it was done. */
export const proveAgain = () => (app.session.kind === "person" ? atTheProvider() : byKey());

function byKey() {
  const value = { secret: "" };
  return ask({
    title: "Log in again",
    body: [
      h("p", {}, WHY),
      line(value, "secret", "API key", {
        hint: "The one that you are logged in with.",
        attributes: { type: "password", autocomplete: "current-password", spellcheck: "false" },
      }),
    ],
    action: "Go on",
    submit: () => post("/v1/session:confirm", { secret: value.secret.trim() }),
  });
}

function atTheProvider() {
  return ask({
    title: "Log in again",
    body: [
      h("p", {}, WHY),
      h(
        "p",
        {},
        h(
          "a",
          { href: "/admin/oidc/start?fresh&next=/confirmed", target: "_blank", rel: "noopener" },
          "Log in again in a new tab",
        ),
        ", then come back here and go on.",
      ),
    ],
    action: "Go on",
    submit: async () => {
      const session = await whoAmI(); // the new tab has changed the cookie of this one, too
      if (session === null)
        throw new Problem({ status: 401, code: "unauthorized", detail: "you are not logged in" });
      app.session = session;
    },
  });
}
