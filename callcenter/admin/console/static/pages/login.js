/** The door: an OpenID provider for people, an API key's secret, or both. */

import { Problem, logIn } from "../core/api.js";
import { h, show } from "../core/dom.js";
import { note, sentence } from "../parts/feedback.js";
import { line } from "../parts/form.js";
import { brand } from "../parts/frame.js";

const BASE = "/admin";
/** What a log-in over the provider ended with. */
const TROUBLES = {
  unavailable: "The log-in service does not answer. Try again in a minute.",
  denied: "The log-in service did not let you in. Try again, or ask whoever runs it.",
  bad_answer: "The log-in service’s answer could not be trusted, so it was not used. Try again.",
  other_state: "This log-in was not begun in this browser, or another one was begun since.",
  too_late: "The log-in took longer than ten minutes. Try again.",
  not_fresh: "The log-in service did not ask who you are. Log out there, then try again.",
  no_role: "Your account has no role for this console. Ask whoever manages accounts for one.",
  wrong_domain: "People with your e-mail address do not come in here.",
  wrong_group: "You are in none of the groups that come in here.",
};

const troubleOf = (code) =>
  Object.hasOwn(TROUBLES, code) ? TROUBLES[code] : "The log-in did not work. Try again.";

const said = (name) => document.querySelector(`meta[name="${name}"]`).content;

/** @param {(session: object) => void} enter */
export function door(enter) {
  const [provider, keys] = [said("sign-on"), said("key-login") === "yes"];
  const problem = new URLSearchParams(location.search).get("problem");
  return h(
    "main",
    { class: "door" },
    h(
      "div",
      { class: "card" },
      brand(),
      h("h1", {}, "Log in"),
      problem !== null && note("danger", troubleOf(problem)),
      provider && providerLink(provider),
      provider && keys && h("p", { class: "or" }, "or"),
      keys && keyForm(enter, !provider),
    ),
  );
}

const providerLink = (name) =>
  h(
    "a",
    { class: "button primary", href: `${BASE}/oidc/start?${new URLSearchParams({ next: here() })}` },
    `Log in with ${name}`,
  );

/** Where the person was going, without what the last try left behind. */
function here() {
  const query = new URLSearchParams(location.search);
  query.delete("problem");
  const rest = query.toString();
  return (location.pathname.slice(BASE.length) || "/") + (rest ? `?${rest}` : "");
}

function keyForm(enter, only) {
  const [value, trouble] = [{ secret: "" }, h("div", { hidden: true })];
  const form = h(
    "form",
    { class: "form", novalidate: true },
    line(value, "secret", "API key", {
      hint: "The first one is in a file that the admin app’s log names; the command admin-key makes another.",
      attributes: { type: "password", autocomplete: "current-password", spellcheck: "false" },
    }),
    trouble,
    h("button", { class: only ? "button primary" : "button", type: "submit" }, "Log in"),
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
        note("danger", problem.status === 422 ? "Enter your API key." : sentence(problem.detail)),
      );
    }
  });
  return form;
}
