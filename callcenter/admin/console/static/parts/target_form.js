/** What a route does with a call: personas answer, it is transferred, told something, or rejected. */

import { h, show } from "../core/dom.js";
import { choice, field, line, number, rows, text } from "./form.js";

const KINDS = [
  ["personas", "A persona answers"],
  ["transfer", "Transfer to a number"],
  ["message", "Say a message and end"],
  ["reject", "Do not answer"],
];
const BLANK = {
  personas: () => ({ kind: "personas", personas: [choiceOf()] }),
  transfer: () => ({ kind: "transfer", to: "" }),
  message: () => ({ kind: "message", text: "" }),
  reject: () => ({ kind: "reject", reason: "busy" }),
};
const choiceOf = () => ({ persona: null, version: null, weight: 1, variables: {} });

export const blankTarget = (kind = "personas") => BLANK[kind]();

/**
 * @param {object} target changed in place, also in its kind
 * @param {string} pointer of the target
 * @param {{name: string, title: string}[]} personas
 * @param {Node|null} drop takes the target away
 */
export function targetForm(target, pointer, personas, drop = null) {
  const box = h("div", { class: "form" });
  const draw = () => show(box, ...FIELDS[target.kind](target, pointer, personas));
  const head = choice({ kind: target.kind }, "kind", "What happens", KINDS, { shape: "broad" });
  head.querySelector("select").addEventListener("change", ({ target: control }) => {
    for (const key of Object.keys(target)) delete target[key];
    Object.assign(target, blankTarget(control.value));
    draw();
  });
  draw();
  return h(
    "div",
    { class: "form", data: { pointer } },
    h("div", { class: "list-row" }, head, drop),
    box,
  );
}

const FIELDS = {
  personas: (target, pointer, personas) => [
    rows(
      target.personas,
      (one, index, drop) => personaRow(one, `${pointer}/personas/${index}`, personas, drop),
      {
        add: "Share the calls with another persona",
        blank: choiceOf,
        name: "persona",
      },
    ),
    line(target, "transfer_to", "Hand-off number", {
      pointer: `${pointer}/transfer_to`,
      empty: null,
      hint: "Leave empty to use the carrier’s fallback",
      attributes: { inputmode: "tel" },
    }),
  ],
  transfer: (target, pointer) => [
    line(target, "to", "Number", {
      pointer: `${pointer}/to`,
      attributes: { inputmode: "tel", placeholder: "+15550100" },
    }),
  ],
  message: (target, pointer) => [
    text(target, "text", "Message", { pointer: `${pointer}/text`, rows: 2 }),
  ],
  reject: (target, pointer) => [
    choice(
      target,
      "reason",
      "Reason",
      [
        ["busy", "busy"],
        ["rejected", "rejected"],
      ],
      { pointer: `${pointer}/reason` },
    ),
  ],
};

const personaRow = (one, pointer, personas, drop) =>
  h(
    "div",
    { class: "list-row" },
    choice(
      one,
      "persona",
      "Persona",
      [["", "choose"], ...personas.map(({ name, title }) => [name, title])],
      { pointer: `${pointer}/persona`, shape: "broad" },
    ),
    number(one, "version", "Version", {
      pointer: `${pointer}/version`,
      attributes: { min: 1, placeholder: "published" },
    }),
    number(one, "weight", "Weight", {
      pointer: `${pointer}/weight`,
      shape: "slim",
      attributes: { min: 0, max: 1_000 },
    }),
    variables(one, `${pointer}/variables`),
    drop,
  );

/** Values for the persona's variables, one a line: "name: value". */
function variables(one, pointer) {
  const control = h("input", {
    type: "text",
    placeholder: "customer_name: Ada; plan: gold",
    value: Object.entries(one.variables ?? {})
      .map(([name, value]) => `${name}: ${value}`)
      .join("; "),
  });
  control.addEventListener("input", () => {
    const pairs = control.value
      .split(";")
      .map((pair) => pair.split(":"))
      .filter(([name]) => name.trim());
    one.variables = Object.fromEntries(
      pairs.map(([name, ...rest]) => [name.trim(), rest.join(":").trim()]),
    );
  });
  return field("Variables", control, { pointer, shape: "full" });
}
