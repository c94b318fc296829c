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
    choice(value, "scope", "It counts", SCOPES, { pointer: "/scope" }),
    line(value, "subject", "Name of the persona or trunk", { pointer: "/subject", empty: null }),
    number(value, "max_concurrent", "Most calls at once", {
      pointer: "/max_concurrent",
      hint: "One more goes on to the route’s overflow",
      attributes: { min: 0 },
    }),
  ],
};

export async function view() {
  return listPage(
    {
      title: "Limits",
      lead: "How many calls there may be at once; one more goes on to the overflow.",
      add: { label: "Add a limit", click: () => create(LIMIT) },
    },
    tableCard(
      "Limits",
      COLUMNS,
      await all("/v1/limits"),
      "There is no limit besides the workers’ slots.",
    ),
  );
}

const COLUMNS = [
  ["Limit", (limit) => h("strong", {}, limit.title)],
  ["It counts", ({ scope, subject }) => (scope === "all" ? "all calls" : `${scope} ${subject}`)],
  ["Most calls", (limit) => limit.max_concurrent, "to-end number"],
  ["", (limit) => rowButtons(LIMIT, limit.name), "to-end one-line"],
];
