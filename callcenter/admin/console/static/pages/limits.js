/** Limits: how many calls there may be at once. */

import { all } from "../core/api.js";
import { h } from "../core/dom.js";
import { create, nameFields, rowButtons } from "../parts/document.js";
import { choice, line, number } from "../parts/form.js";
import { listPage, tableCard } from "../parts/list_page.js";

const SCOPES = [
  ["all", "all calls together"],
  ["persona", "the calls of one persona"],
  ["trunk", "the calls of one trunk"],
];

const LIMIT = {
  plural: "limits",
  noun: "limit",
  blank: { name: "", title: "", scope: "all", subject: null, max_concurrent: 10 },
  fields: (value, fresh) => [
    h("div", { class: "fields" }, ...nameFields(value, fresh)),
    choice(value, "scope", "Applies to", SCOPES, { pointer: "/scope" }),
    line(value, "subject", "Name of the persona or trunk", { pointer: "/subject", empty: null }),
    number(value, "max_concurrent", "Max concurrent calls", {
      pointer: "/max_concurrent",
      hint: "Further calls go to the route’s overflow",
      attributes: { min: 0 },
    }),
  ],
};

export async function view() {
  return listPage(
    {
      title: "Limits",
      lead: "How many calls there may be at once. Further calls go to the route’s overflow.",
      add: { label: "Add a limit", click: () => create(LIMIT) },
    },
    tableCard(
      "Limits",
      COLUMNS,
      await all("/v1/limits"),
      "No limits yet. Only the workers’ slots limit how many calls there are at once.",
    ),
  );
}

const COLUMNS = [
  ["Limit", (limit) => h("strong", {}, limit.title)],
  ["Applies to", ({ scope, subject }) => (scope === "all" ? "all calls" : `${scope} ${subject}`)],
  ["Max calls", (limit) => limit.max_concurrent, "to-end number"],
  ["", (limit) => rowButtons(LIMIT, limit.name), "to-end one-line"],
];
