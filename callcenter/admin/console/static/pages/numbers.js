/** Numbers: what people dial, and who answers it. */

import { all } from "../core/api.js";
import { h } from "../core/dom.js";
import { create, rowButtons } from "../parts/document.js";
import { choice, line } from "../parts/form.js";
import { listPage, tableCard } from "../parts/list_page.js";
import { badge, link } from "../parts/page.js";

export async function view() {
  const [numbers, personas, routes, trunks] = await Promise.all(
    ["numbers", "personas", "routes", "trunks"].map((kind) => all(`/v1/${kind}`)),
  );
  const kind = numberKind(personas, routes, trunks);
  return listPage(
    {
      title: "Numbers",
      lead: "A number can name its persona or route. Otherwise the routes are tried in order.",
      add: { label: "Add a number", click: () => create(kind) },
    },
    tableCard("Numbers", columns(kind), numbers, "No numbers yet. Add one to choose who answers it."),
  );
}

const columns = (kind) => [
  ["Number", (number) => h("strong", { class: "number" }, number.name), "one-line"],
  ["Title", (number) => number.title],
  ["Leads to", target],
  ["Trunk", (number) => number.trunk ?? "any"],
  ["", (number) => rowButtons(kind, number.name), "to-end one-line"],
];

function target({ persona, route }) {
  if (persona) return ["persona ", link(`/personas/${encodeURIComponent(persona)}`, persona)];
  if (route) return ["route ", link(`/routes/${encodeURIComponent(route)}`, route)];
  return badge("routes, in order");
}

function numberKind(personas, routes, trunks) {
  const published = personas.filter((persona) => persona.published !== null);
  return {
    plural: "numbers",
    noun: "number",
    blank: { name: "", title: "", trunk: null, persona: null, route: null },
    clean: (value) => ({ ...value, name: value.name.replace(/[ ()./-]/g, "") }),
    fields: (value, fresh) => [
      line(value, "name", "Number", {
        pointer: "/name",
        hint: "With the country: +49 30 1234567",
        attributes: { disabled: !fresh, placeholder: "+1 555 0100", inputmode: "tel" },
      }),
      line(value, "title", "Title", {
        pointer: "/title",
        attributes: { maxlength: 120, placeholder: "Main line" },
      }),
      h(
        "div",
        { class: "fields" },
        choice(value, "persona", "Persona", [["", "none"], ...published.map(named)], {
          pointer: "/persona",
          hint: "Answers with its published version",
        }),
        choice(value, "route", "Route", [["", "none"], ...routes.map(named)], {
          pointer: "/route",
          hint: "Instead of a persona",
        }),
      ),
      choice(value, "trunk", "Trunk", [["", "any"], ...trunks.map(named)], { pointer: "/trunk" }),
    ],
  };
}

const named = ({ name, title }) => [name, `${title} (${name})`];
