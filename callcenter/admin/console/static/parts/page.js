/** The frame of a view: crumb, heading, what can be done; and lists as tables. */

import { h, show } from "../core/dom.js";
import { icon } from "./icons.js";

/**
 * @param {{title: string|Node, lead?: string|Node, back?: [string, string], actions?: Node[]}} head
 * @param {...Node} body
 */
export function page({ title, lead, back, actions = [] }, ...body) {
  return h(
    "div",
    { class: "view" },
    h(
      "header",
      { class: "head" },
      h(
        "div",
        {},
        back && h("a", { class: "crumb", href: `/admin${back[0]}` }, icon("back"), back[1]),
        h("h1", { tabindex: "-1" }, title),
        lead && h("p", { class: "lead" }, lead),
      ),
      ...actions,
    ),
    ...body,
  );
}

/** A button that does something. */
export function button(label, click, { tone = "", image, disabled = false, title } = {}) {
  return h(
    "button",
    { class: `button ${tone}`, type: "button", disabled, title, on: { click } },
    image && icon(image),
    label,
  );
}

/** A link that looks like a button. */
export const linkButton = (label, href, { tone = "", image } = {}) =>
  h("a", { class: `button ${tone}`, href: `/admin${href}` }, image && icon(image), label);

export const link = (href, ...children) => h("a", { href: `/admin${href}` }, ...children);

export const badge = (text, tone = "", live = false) =>
  h("span", { class: "badge", data: { tone, live: live ? "yes" : null } }, text);

/**
 * On a narrow screen each row is a card whose cells carry their headings; the roles stay.
 *
 * @param {string} name what the table holds, for screen readers
 * @param {[string, (item: any) => any, string?][]} columns heading, cell, class of the cell
 * @param {any[]} items
 */
export function table(name, columns, items) {
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { "aria-label": name, role: "table" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ...columns.map(([head, , shape]) =>
            h("th", { scope: "col", class: shape }, head || unseen("Actions")),
          ),
        ),
      ),
      h("tbody", {}, ...items.map((item) => row(columns, item))),
    ),
  );
}

const unseen = (text) => h("span", { class: "unseen" }, text);

const row = (columns, item) =>
  h(
    "tr",
    { role: "row" },
    ...columns.map(([head, cell, shape]) =>
      h("td", { class: shape, role: "cell", data: { label: head } }, cell(item)),
    ),
  );

/** What a list says when nothing is in it. */
export const empty = (text, ...actions) =>
  h(
    "div",
    { class: "empty" },
    h("p", {}, text),
    actions.length > 0 && h("div", { class: "row" }, ...actions),
  );

/** A part of a page under a heading of its own. */
export const card = (title, ...children) =>
  h("section", { class: "card" }, h("h2", {}, title), ...children);

/** Facts in two lines each: [name, value]. */
export const facts = (...pairs) =>
  h(
    "dl",
    { class: "facts" },
    ...pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );

/**
 * A list that grows by pages.
 *
 * @param {(cursor: string) => Promise<{items: any[], next_cursor: string|null}>} load
 * @param {(items: any[]) => Node} draw
 */
export async function paged(load, draw) {
  const box = h("div");
  const items = [];
  const next = async (cursor) => {
    const page = await load(cursor);
    items.push(...page.items);
    const more =
      page.next_cursor !== null &&
      h(
        "div",
        { class: "row more" },
        button("Show more", () => next(page.next_cursor), { tone: "small" }),
      );
    show(box, draw(items), more);
  };
  await next("");
  return box;
}
