/** One route: conditions, target, overflow. */

import { all } from "../core/api.js";
import { h } from "../core/dom.js";
import { nameFields } from "../parts/document.js";
import { editorPage } from "../parts/editor_page.js";
import { check, choice, line, number, rows } from "../parts/form.js";
import { simulator } from "../parts/simulator.js";
import { blankTarget, targetForm } from "../parts/target_form.js";
import { card } from "../parts/page.js";

const BLANK = {
  name: "",
  title: "",
  priority: 100,
  enabled: true,
  match: { trunk: null, called: null, caller: null, headers: {}, schedule: null, when: "open" },
  target: blankTarget(),
  overflow: [],
};

const ROUTE = {
  plural: "routes",
  noun: "route",
  title: "Routes",
  role: "admin",
  blank: BLANK,
  kept: "You can only delete it while no number leads to it.",
};

export async function view(place) {
  const lists = await loadLists();
  return editorPage(place, ROUTE, (value, fresh) => {
    const headers = Object.entries(value.match.headers ?? {}).map(([name, text]) => ({
      name,
      text,
    }));
    return {
      form: routeForm(value, headers, fresh, lists),
      aside: simulator(lists.numbers, lists.trunks),
      gather: () => gathered(value, headers),
    };
  });
}

/** The route that a form stands for. */
function gathered(value, headers) {
  const named = Object.fromEntries(headers.map(({ name, text }) => [name, text]));
  return {
    ...value,
    match: { ...value.match, headers: named },
    target: tidy(value.target),
    overflow: value.overflow.map(tidy),
  };
}

async function loadLists() {
  const kinds = ["personas", "trunks", "schedules", "numbers"];
  const found = await Promise.all(kinds.map((kind) => all(`/v1/${kind}`)));
  return Object.fromEntries(kinds.map((kind, index) => [kind, found[index]]));
}

function routeForm(value, headers, fresh, { personas, trunks, schedules }) {
  return h(
    "form",
    { class: "stack", novalidate: true, on: { submit: (event) => event.preventDefault() } },
    card(
      "Route",
      h(
        "div",
        { class: "fields" },
        ...nameFields(value, fresh, { title: "After hours", name: "after_hours" }),
        number(value, "priority", "Priority", {
          pointer: "/priority",
          hint: "The lowest is tried first",
          attributes: { min: 0, max: 10_000 },
        }),
      ),
      check(value, "enabled", "Enabled"),
    ),
    card("When", ...matchFields(value.match, headers, trunks, schedules)),
    card("Then", targetForm(value.target, "/target", personas)),
    card(
      "Overflow",
      h(
        "p",
        { class: "hint" },
        "Tried one after the other when there is no free slot, or when the persona may not answer.",
      ),
      rows(
        value.overflow,
        (target, index, drop) =>
          h("div", { class: "boxed" }, targetForm(target, `/overflow/${index}`, personas, drop)),
        { add: "Add an overflow", blank: () => blankTarget("message"), name: "overflow" },
      ),
    ),
  );
}

const matchFields = (match, headers, trunks, schedules) => [
  h(
    "div",
    { class: "fields", data: { pointer: "/match" } },
    line(match, "called", "Called number", {
      pointer: "/match/called",
      empty: null,
      hint: "Exact, or a beginning: +1555*",
      attributes: { placeholder: "any" },
    }),
    line(match, "caller", "Caller", {
      pointer: "/match/caller",
      empty: null,
      hint: "Exact, or a beginning",
      attributes: { placeholder: "any" },
    }),
    choice(
      match,
      "trunk",
      "Trunk",
      [["", "any"], ...trunks.map(({ name, title }) => [name, title])],
      { pointer: "/match/trunk" },
    ),
    choice(
      match,
      "schedule",
      "Schedule",
      [["", "any time"], ...schedules.map(({ name, title }) => [name, title])],
      { pointer: "/match/schedule" },
    ),
    choice(
      match,
      "when",
      "Must be",
      [
        ["open", "open"],
        ["closed", "closed"],
      ],
      { pointer: "/match/when" },
    ),
  ),
  rows(
    headers,
    (header, index, drop) =>
      h(
        "div",
        { class: "list-row" },
        line(header, "name", `Header ${index + 1}`, {
          hideLabel: true,
          attributes: { placeholder: "X-Language" },
        }),
        line(header, "text", `Value ${index + 1}`, {
          hideLabel: true,
          shape: "broad",
          pointer: `/match/headers/${header.name}`,
          attributes: { placeholder: "de, or d*" },
        }),
        drop,
      ),
    { add: "Add a header", blank: () => ({ name: "", text: "" }), name: "header" },
  ),
];

/** A target without values that stand for nothing. */
function tidy(target) {
  if (target.kind !== "personas") return target;
  return {
    ...target,
    personas: target.personas.map((one) => ({
      ...one,
      persona: one.persona ?? "",
      weight: one.weight ?? 1,
    })),
  };
}
