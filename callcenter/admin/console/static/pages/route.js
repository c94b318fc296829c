/** One route: conditions, target, overflow. */

import { all, change, getTagged, path, post, remove } from "../core/api.js";
import { go, may } from "../core/app.js";
import { h, show } from "../core/dom.js";
import { patchOf } from "../core/patch.js";
import { bare } from "../parts/document.js";
import { sure } from "../parts/dialog.js";
import { problemNote, toast } from "../parts/feedback.js";
import { check, choice, line, number, place as placeMistakes, rows } from "../parts/form.js";
import { simulator } from "../parts/simulator.js";
import { blankTarget, targetForm } from "../parts/target_form.js";
import { button, page } from "../parts/page.js";

const BLANK = {
  name: "",
  title: "",
  priority: 100,
  enabled: true,
  match: { trunk: null, called: null, caller: null, headers: {}, schedule: null, when: "open" },
  target: blankTarget(),
  overflow: [],
};

export async function view(place) {
  const fresh = place.parts.name === "new";
  const address = path`/v1/routes/${place.parts.name}`;
  const [stored, lists] = await Promise.all([
    fresh ? { value: BLANK, tag: null } : getTagged(address),
    loadLists(),
  ]);
  const before = fresh ? BLANK : bare(stored.value);
  const value = structuredClone(before);
  const headers = Object.entries(value.match.headers ?? {}).map(([name, text]) => ({ name, text }));
  const [form, trouble] = [routeForm(value, headers, fresh, lists), h("div", { hidden: true })];

  const save = async () => {
    value.match.headers = Object.fromEntries(headers.map(({ name, text }) => [name, text]));
    value.target = tidy(value.target);
    value.overflow = value.overflow.map(tidy);
    trouble.hidden = true;
    try {
      if (fresh) await post("/v1/routes", value);
      else await change("PATCH", address, patchOf(before, value), stored.tag);
      toast("The route is saved.");
      go(`/routes/${encodeURIComponent(value.name)}`, { replace: true });
    } catch (problem) {
      if (problem.status === undefined) throw problem;
      const rest = placeMistakes(form, problem);
      trouble.hidden = rest === null;
      if (rest) show(trouble, problemNote(rest));
    }
  };
  const saveButton = button("Save", save, { tone: "primary", disabled: !may("admin") });
  saveButton.dataset.key = "save";
  const drop = async () => {
    const gone = await sure(
      "Delete this route?",
      "It is refused while a number leads to it.",
      "Delete",
      () => remove(address, stored.tag),
    );
    if (gone) go("/routes");
  };
  return page(
    {
      title: fresh ? "New route" : before.title,
      lead: fresh ? null : h("span", { class: "code small" }, before.name),
      back: ["/routes", "Routes"],
      actions: [
        !fresh && button("Delete", drop, { tone: "plain", disabled: !may("admin") }),
        saveButton,
      ].filter(Boolean),
    },
    trouble,
    h(
      "div",
      { class: "columns" },
      form,
      h("div", { class: "stack" }, simulator(lists.numbers, lists.trunks)),
    ),
  );
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
      h("div", { class: "fields" }, ...nameFields(value, fresh)),
      check(value, "enabled", "In use"),
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
          h(
            "div",
            { class: "boxed" },
            targetForm(target, `/overflow/${index}`, personas),
            h("div", { class: "row end" }, drop),
          ),
        { add: "Add an overflow", blank: () => blankTarget("message"), name: "overflow" },
      ),
    ),
  );
}

const card = (title, ...fields) => h("section", { class: "card" }, h("h2", {}, title), ...fields);

const nameFields = (value, fresh) => [
  line(value, "title", "Title", { pointer: "/title", attributes: { maxlength: 120 } }),
  line(value, "name", "Name", {
    pointer: "/name",
    attributes: {
      disabled: !fresh,
      maxlength: 40,
      spellcheck: "false",
      placeholder: "after_hours",
    },
  }),
  number(value, "priority", "Priority", {
    pointer: "/priority",
    hint: "The lowest number is tried first",
    attributes: { min: 0, max: 10_000 },
  }),
];

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
      "must be",
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
