/** All personas, and a new one from a template. */

import { all, get, post } from "../core/api.js";
import { go } from "../core/app.js";
import { h } from "../core/dom.js";
import { ago } from "../core/format.js";
import { ask } from "../parts/dialog.js";
import { nameFields } from "../parts/document.js";
import { choice } from "../parts/form.js";
import { listPage } from "../parts/list_page.js";
import { badge, empty, link } from "../parts/page.js";

export async function view() {
  const found = await all("/v1/personas");
  const [used, archived] = [
    found.filter((one) => !one.archived),
    found.filter((one) => one.archived),
  ];
  return listPage(
    {
      title: "Personas",
      lead: "Who answers, with which facts, in which voice.",
      add: { label: "New persona", click: createOne },
    },
    used.length
      ? h("div", { class: "gallery" }, ...used.map(card))
      : empty("No personas yet. A persona is who answers: what it knows, says and sounds like."),
    archived.length > 0 &&
      h(
        "details",
        {},
        h("summary", {}, `Archived (${archived.length})`),
        h("div", { class: "gallery" }, ...archived.map(card)),
      ),
  );
}

const card = (persona) =>
  h(
    "article",
    { class: "card" },
    h(
      "div",
      { class: "stack tight" },
      h("h2", {}, link(address(persona), persona.title)),
      h("p", { class: "clamp" }, String(persona.draft.role_text ?? "")),
    ),
    h(
      "div",
      { class: "row apart" },
      h(
        "span",
        { class: "row" },
        publishedBadge(persona),
        ...persona.labels.map((label) => badge(label)),
      ),
      h("span", { class: "faint small" }, ago(persona.updated_at)),
    ),
  );

export const publishedBadge = ({ published, archived }) =>
  archived
    ? badge("archived")
    : published === null
      ? badge("not published", "warning")
      : badge(`version ${published}`, "good");

const address = ({ name }) => `/personas/${encodeURIComponent(name)}`;

async function createOne() {
  const templates = await get("/v1/templates");
  const value = { template: templates[0]?.name ?? null, name: "", title: "" };
  const created = await ask({
    title: "New persona",
    body: [
      choice(
        value,
        "template",
        "Begin with",
        templates.map(({ name, title }) => [name, title]),
        { pointer: "/template" },
      ),
      ...nameFields(value, true, { title: "Night desk", name: "night_desk" }),
    ],
    action: "Create",
    submit: () =>
      post("/v1/personas", {
        template: value.template,
        name: value.name.trim(),
        title: value.title.trim(),
      }),
  });
  if (created) go(address(created));
}
