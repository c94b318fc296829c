/** Beside the form: does it hold, what is the prompt as a call has it, and a call to the draft. */

import { path, post } from "../core/api.js";
import { gateway, may } from "../core/app.js";
import { h, show } from "../core/dom.js";
import { count } from "../core/format.js";
import { tell } from "./dialog.js";
import { attempt, note } from "./feedback.js";
import { line } from "./form.js";
import { button, card } from "./page.js";

const HEARD_AFTER_MS = [200, 400, 800, 1_600];

/**
 * What the check says: valid or not, tokens against the budget, variables that a call must bring.
 *
 * @param {() => object} content
 */
export function checkCard(content) {
  const box = h("section", { class: "card", "aria-live": "polite" });
  const draw = (report) =>
    show(
      box,
      h("h2", {}, "Check"),
      budget(report),
      report.valid ? note("good", "This can be published.") : mistakes(report.errors),
      report.missing_variables.length > 0 &&
        h(
          "p",
          { class: "small faint" },
          `Every call must set: ${report.missing_variables.join(", ")}.`,
        ),
      h(
        "div",
        {},
        button("Preview prompt", () => preview(content()), {
          tone: "small",
          disabled: !report.valid,
        }),
      ),
    );
  return { element: box, draw };
}

function budget({ prompt_tokens: used, max_prompt_tokens: most }) {
  const over = used !== null && used > most;
  return h(
    "div",
    { class: "budget", data: { over: over ? "yes" : null } },
    h(
      "div",
      { class: "row apart small" },
      h("span", { class: "faint" }, "Prompt"),
      h(
        "span",
        { class: "number count" },
        used === null ? "cannot be counted yet" : `${count(used)} of ${count(most)} tokens`,
      ),
    ),
    h(
      "div",
      { class: "track", vars: { "--share": used === null ? 0 : Math.min(1, used / most) } },
      h("i"),
    ),
  );
}

const mistakes = (errors) =>
  note(
    "danger",
    ...errors.map(({ pointer, detail }) =>
      h(
        "p",
        {},
        pointer && h("strong", {}, `${pointer.slice(1).replaceAll("/", " › ")}: `),
        detail,
      ),
    ),
  );

/** The rendered prompt, with values to try. */
async function preview(content) {
  const values = {};
  const out = h("div", { class: "stack tight" });
  const look = () =>
    attempt(async () => {
      const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value));
      const shown = await post("/v1/personas:preview", { content, variables: given });
      show(
        out,
        h("h3", {}, "Greeting"),
        h("p", { class: "spoken" }, shown.greeting),
        h("h3", {}, "Prompt"),
        h("p", { class: "spoken" }, shown.role_text),
        h(
          "p",
          { class: "small faint" },
          `${count(shown.prompt_tokens)} of ${count(shown.max_prompt_tokens)} tokens, hash ${shown.prompt_hash}`,
        ),
      );
    });
  const fields = Object.entries(content.variables ?? {}).map(([name, variable]) =>
    line(values, name, name, {
      hint: variable.description,
      onChange: look,
      attributes: { placeholder: variable.default ?? "" },
    }),
  );
  if (await look()) tell("Prompt preview", ...fields, out);
}

/**
 * A call to the draft, in this browser.
 *
 * @param {string} name the persona
 * @param {() => Promise<boolean>} save called first, so that the draft is what is on the screen
 */
export function testCard(name, title, save) {
  const box = h("div", { class: "test-call" });
  const start = async () => {
    if (!(await save())) return;
    await attempt(async () => {
      const trial = await post(path`/v1/personas/${name}/trials`);
      await ring(box, trial.called, title());
    });
  };
  const possible = gateway() !== "";
  const control = button("Call the draft", start, {
    image: "calls",
    disabled: !possible || !may("operator"),
  });
  return card(
    "Try it",
    h(
      "p",
      { class: "small faint" },
      possible
        ? "Saves the draft and calls it with this browser’s microphone. Nobody else can reach it."
        : "No gateway takes calls from browsers here; set BROWSER_GATEWAY_URL for the admin app.",
    ),
    h("div", {}, control),
    box,
  );
}

/** Gateways hear of a trial a moment after it was made; this waits until ours knows it. */
async function known(called) {
  const ask = {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ persona: called }),
  };
  for (const wait_ms of HEARD_AFTER_MS) {
    const answer = await fetch(`${gateway()}/api/session`, ask).catch(() => null);
    if (answer?.status !== 404) return; // it knows it, or has another reason, which the telephone tells
    await new Promise((resolve) => setTimeout(resolve, wait_ms));
  }
}

async function ring(box, called, title) {
  show(box, h("p", { class: "small faint", role: "status" }, "Sending the draft to the gateway …"));
  await known(called);
  const { PersonaPlexCall } = await import("/admin/widget/element.js");
  if (!customElements.get("personaplex-call"))
    customElements.define("personaplex-call", PersonaPlexCall);
  const theme = document.documentElement.dataset.theme;
  const phone = h("personaplex-call", {
    persona: called,
    name: title,
    gateway: `${gateway()}/`,
    theme,
  });
  show(box, phone);
  await phone.call();
}
