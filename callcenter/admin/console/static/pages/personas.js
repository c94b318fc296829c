/** All personas, and a new one from a template. */

import { all, get, post } from "../core/api.js";
import { go, may } from "../core/app.js";
import { h } from "../core/dom.js";
import { ago } from "../core/format.js";
import { ask } from "../parts/dialog.js";
import { choice, line } from "../parts/form.js";
import { badge, button, empty, link, page } from "../parts/page.js";

export async function view() {
  const found = await all("/v1/personas");
  const [used, archived] = [
    found.filter((one) => !one.archived),
    found.filter((one) => one.archived),
  ];
  const create = button("New persona", () => createOne(), {
    tone: "primary",
    image: "plus",
    disabled: !may("admin"),
  });
  return page(
    {
      title: "Personas",
      lead: "Who answers, with which facts, in which voice.",
      actions: [create],
    },
    used.length
      ? h("div", { class: "gallery" }, ...used.map(card))
      : empty("There is no persona yet."),
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
      line(value, "title", "Title", {
        pointer: "/title",
        hint: "For people: lists and reports.",
        attributes: { maxlength: 120, placeholder: "Night desk" },
      }),
      line(value, "name", "Name", {
        pointer: "/name",
        hint: "Small letters, digits and underscores. It stays for ever.",
        attributes: { maxlength: 40, placeholder: "night_desk", spellcheck: "false" },
      }),
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
