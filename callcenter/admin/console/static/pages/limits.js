/** Limits: how many calls there may be at once. */

import { all } from "../core/api.js";
import { may } from "../core/app.js";
import { h } from "../core/dom.js";
import { create, rowButtons } from "../parts/document.js";
import { choice, line, number } from "../parts/form.js";
import { button, empty, page, table } from "../parts/page.js";

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
    h(
      "div",
      { class: "fields" },
      line(value, "title", "Title", { pointer: "/title", attributes: { maxlength: 120 } }),
      line(value, "name", "Name", {
        pointer: "/name",
        attributes: { disabled: !fresh, maxlength: 40, spellcheck: "false" },
      }),
    ),
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
  const limits = await all("/v1/limits");
  return page(
    {
      title: "Limits",
      lead: "How many calls there may be at once; one more goes on to the overflow.",
      actions: [
        button("Add a limit", () => create(LIMIT), {
          tone: "primary",
          image: "plus",
          disabled: !may("admin"),
        }),
      ],
    },
    h(
      "section",
      { class: "card flush" },
      limits.length === 0
        ? empty("There is no limit besides the workers’ slots.")
        : table(
            "Limits",
            [
              ["Limit", (limit) => h("strong", {}, limit.title)],
              [
                "It counts",
                (limit) =>
                  limit.scope === "all" ? "all calls" : `${limit.scope} ${limit.subject}`,
              ],
              ["Most calls", (limit) => limit.max_concurrent, "to-end"],
              ["", (limit) => rowButtons(LIMIT, limit.name), "to-end one-line"],
            ],
            limits,
          ),
    ),
  );
}
