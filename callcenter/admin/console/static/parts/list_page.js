/** The page of a list: what it is for, adding to it, and a table or what an empty list says. */

import { may } from "../core/app.js";
import { h } from "../core/dom.js";
import { button, empty, page, table } from "./page.js";

/**
 * @param {{title: string, lead?: string, add?: {label: string, click: Function, role?: string}}} head
 * @param {...Node} body
 */
export const listPage = ({ title, lead, add }, ...body) =>
  page({ title, lead, actions: add ? [addButton(add)] : [] }, ...body);

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
