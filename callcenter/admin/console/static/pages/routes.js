/** Routes in the order in which they are tried, and the simulator. */

import { all } from "../core/api.js";
import { go } from "../core/app.js";
import { h } from "../core/dom.js";
import { plural } from "../core/format.js";
import { simulator } from "../parts/simulator.js";
import { listPage, tableCard } from "../parts/list_page.js";
import { badge, link } from "../parts/page.js";

export async function view() {
  const [routes, numbers, trunks] = await Promise.all(
    ["routes", "numbers", "trunks"].map((kind) => all(`/v1/${kind}`)),
  );
  routes.sort((one, other) => one.priority - other.priority || (one.name < other.name ? -1 : 1));
  return listPage(
    {
      title: "Routes",
      lead: "Routes are tried from the lowest priority number up. The first whose conditions all match takes the call.",
      add: { label: "New route", click: () => go("/routes/new") },
    },
    h(
      "div",
      { class: "columns" },
      tableCard("Routes", COLUMNS, routes, NOTHING),
      h("div", { class: "stack" }, simulator(numbers, trunks)),
    ),
  );
}

const NOTHING = "No routes yet. Numbers with a persona of their own need none.";
const COLUMNS = [
  ["Priority", (route) => h("span", { class: "number" }, route.priority)],
  ["Route", (route) => link(`/routes/${encodeURIComponent(route.name)}`, route.title)],
  ["When", conditions],
  ["Then", targetText],
  ["", (route) => (route.enabled ? null : badge("disabled"))],
];

/** A route's conditions in words. */
export function conditions({ match }) {
  const found = [
    match.trunk && `trunk ${match.trunk}`,
    match.called && `to ${match.called}`,
    match.caller && `from ${match.caller}`,
    ...Object.entries(match.headers ?? {}).map(([name, value]) => `${name}: ${value}`),
    match.schedule && `${match.schedule} is ${match.when}`,
  ].filter(Boolean);
  return found.length ? found.join(", ") : "always";
}

/** What a route does, in words. */
export function targetText({ target, overflow }) {
  const more = overflow.length ? `, else ${overflow.map(words).join(", else ")}` : "";
  return words(target) + more;
}

function words(target) {
  if (target.kind === "transfer") return `transfer to ${target.to}`;
  if (target.kind === "message") return "say a message";
  if (target.kind === "reject") return `reject: ${target.reason}`;
  const names = target.personas.map(({ persona, version }) =>
    version ? `${persona} v${version}` : persona,
  );
  return names.length > 2 ? plural(names.length, "persona") : names.join(" or ");
}
