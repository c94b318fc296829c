/** A persona's versions: what each one was, what changed, and which one answers. */

import { get, path, post } from "../core/api.js";
import { may } from "../core/app.js";
import { h, show } from "../core/dom.js";
import { ago } from "../core/format.js";
import { diff } from "./diff.js";
import { ask, sure, tell } from "./dialog.js";
import { attempt, toast } from "./feedback.js";
import { line } from "./form.js";
import { badge, button } from "./page.js";

const SHOWN = 8;

/**
 * @param {string} name the persona
 * @param {(changed: object) => void} onPublished gets the persona as it is then
 */
export function versionCard(name, onPublished) {
  const box = h("section", { class: "card" });
  const draw = async (persona) => {
    const versions = await get(path`/v1/personas/${name}/versions`);
    show(
      box,
      h(
        "div",
        { class: "row apart" },
        h("h2", {}, "Versions"),
        rollBackButton(persona, versions, onPublished),
      ),
      versions.length === 0
        ? h("p", { class: "faint" }, "No version published yet. Calls are answered once you publish the draft.")
        : h(
            "ol",
            { class: "versions" },
            ...versions.slice(0, SHOWN).map((version) => entry(persona, version, onPublished)),
          ),
    );
  };
  return { element: box, draw };
}

const entry = (persona, version, onPublished) =>
  h(
    "li",
    {},
    h(
      "div",
      { class: "row apart" },
      h("strong", {}, `Version ${version.number}`),
      persona.published === version.number ? badge("answers calls", "good") : null,
    ),
    version.comment && h("p", { class: "small" }, version.comment),
    h("p", { class: "small faint" }, `${version.created_by}, ${ago(version.created_at)}`),
    h(
      "div",
      { class: "row" },
      button("Compare with the draft", () => compare(persona, version), { tone: "small" }),
      persona.published !== version.number &&
        button("Publish", () => publishAgain(persona, version, onPublished), {
          tone: "small",
          disabled: !may("admin"),
        }),
    ),
  );

const compare = (persona, { number }) =>
  attempt(async () => {
    const changes = await get(path`/v1/personas/${persona.name}/diff`, {
      before: number,
      after: "draft",
    });
    tell(`From version ${number} to the draft`, diff(changes));
  });

async function publishAgain(persona, { number }, onPublished) {
  const changed = await ask({
    title: `Publish version ${number} again?`,
    body: [
      h("p", {}, "New calls are answered by it. Live calls keep the version that they began with."),
    ],
    action: "Publish",
    submit: () => post(path`/v1/personas/${persona.name}/publish`, { version: number }),
  });
  if (changed) done(changed, onPublished);
}

function rollBackButton(persona, versions, onPublished) {
  const before = versions.some(({ number }) => number < persona.published);
  return button("Roll back", () => rollBack(persona, onPublished), {
    tone: "small",
    disabled: !before || !may("admin"),
  });
}

async function rollBack(persona, onPublished) {
  const text =
    "New calls are answered by the version before this one. Live calls go on as they are, and the draft stays.";
  const changed = await sure("Roll back?", text, "Roll back", () =>
    post(path`/v1/personas/${persona.name}/rollback`),
  );
  if (changed) done(changed, onPublished);
}

/** Shows what publishing would change, and does it. */
export async function publishDraft(persona, onPublished) {
  const value = { comment: "" };
  const before = persona.published;
  const changes =
    before === null
      ? null
      : await get(path`/v1/personas/${persona.name}/diff`, { before, after: "draft" });
  const changed = await ask({
    title: "Publish the draft",
    body: [
      changes === null
        ? h("p", {}, "This is the first version.")
        : h(
            "div",
            { class: "stack tight" },
            h("h3", {}, `What differs from version ${before}`),
            diff(changes),
          ),
      line(value, "comment", "Comment", {
        pointer: "/comment",
        hint: "For the people who read the history.",
        attributes: { maxlength: 1_000 },
      }),
    ],
    action: "Publish",
    submit: () => post(path`/v1/personas/${persona.name}/publish`, value),
  });
  if (changed) done(changed, onPublished);
}

function done(changed, onPublished) {
  toast(`Version ${changed.published} answers new calls.`);
  onPublished(changed);
}
