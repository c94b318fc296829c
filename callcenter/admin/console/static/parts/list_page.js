/** The page of a list: what it is for, adding to it, and a table or what an empty list says. */

import { may } from "../core/app.js";
import { h } from "../core/dom.js";
import { button, empty, page, table } from "./page.js";

/**
 * The button that adds one stands in the heading; where there are none, below what says so.
 *
 * @param {{title: string, lead?: string, add?: {label: string, click: Function, role?: string}}} head
 * @param {...Node} body
 */
export function listPage({ title, lead, add }, ...body) {
  const control = add ? addButton(add) : null;
  const whole = page({ title, lead, actions: [] }, ...body);
  const nothing = whole.querySelector(".empty");
  if (control && nothing) nothing.append(h("div", { class: "row" }, control));
  else if (control) whole.querySelector(".head").append(control);
  return whole;
}

const addButton = ({ label, click, role = "admin" }) =>
  button(label, click, { tone: "primary", image: "plus", disabled: !may(role) });

/**
 * A table as a card of its own.
 *
 * @param {string} name what it holds, for screen readers
 * @param {[string, (item: any) => any, string?][]} columns heading, cell, class of the cell
 * @param {any[]} items
 * @param {string} nothing said when there are none
 */
export const tableCard = (name, columns, items, nothing) =>
  h(
    "section",
    { class: "card flush" },
    items.length === 0 ? empty(nothing) : table(name, columns, items),
  );
