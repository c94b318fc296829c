/**
 * Form fields over a plain object: each one reads and writes one key of it. A field carries the JSON
 * pointer of its value, so that the API's mistakes find their place beside it.
 */

import { freshId, h, show } from "../core/dom.js";
import { icon } from "./icons.js";

/**
 * A labelled control.
 *
 * @param {string} label
 * @param {HTMLElement} control
 * @param {{pointer?: string, hint?: Node|string, shape?: string, hideLabel?: boolean}} more
 */
export function field(label, control, { pointer, hint, shape = "", hideLabel = false } = {}) {
  const [id, mistake, help] = [freshId("field"), freshId("mistake"), freshId("hint")];
  control.id = id;
  control.setAttribute("aria-describedby", hint ? `${mistake} ${help}` : mistake);
  return h(
    "div",
    { class: `field ${shape}`, data: { pointer } },
    h("label", { for: id, class: hideLabel ? "unseen" : null }, label),
    control,
    h("p", { class: "mistake", id: mistake, hidden: true }),
    hint && h("p", { class: "hint", id: help }, hint),
  );
}

const changed = (control, key, value, onChange, read) =>
  control.addEventListener("input", () => {
    value[key] = read(control);
    onChange?.();
  });

/** A line of text. With `empty: null`, an empty line is no value. */
export function line(value, key, label, { empty = "", onChange, attributes = {}, ...more } = {}) {
  const control = h("input", {
    type: "text",
    autocomplete: "off",
    value: value[key] ?? "",
    ...attributes,
  });
  changed(control, key, value, onChange, () => control.value || empty);
  return field(label, control, more);
}

/** A list of words in one line; `splitWords` reads what was typed. */
export function wordsLine(value, key, label, more) {
  value[key] = value[key].join(", ");
  return line(value, key, label, more);
}

export const splitWords = (typed) => typed.split(/[\s,]+/).filter(Boolean);

/** A text of several lines. */
export function text(value, key, label, { rows = 4, onChange, attributes = {}, ...more } = {}) {
  const control = h("textarea", {
    rows,
    vars: { "--rows": rows },
    value: value[key] ?? "",
    ...attributes,
  });
  changed(control, key, value, onChange, () => control.value);
  return field(label, control, more);
}

/** A number; empty is null. */
export function number(value, key, label, { onChange, attributes = {}, ...more } = {}) {
  const control = h("input", { type: "number", value: value[key] ?? "", ...attributes });
  changed(control, key, value, onChange, () =>
    control.value === "" ? null : Number(control.value),
  );
  return field(label, control, more);
}

/** One of several; options are [value, label], and "" stands for null. */
export function choice(value, key, label, options, { onChange, ...more } = {}) {
  const here = value[key] ?? "";
  const known = options.some(([one]) => String(one) === String(here));
  const offered = known ? options : [...options, [here, `${here} (missing)`]];
  const control = h(
    "select",
    {},
    ...offered.map(([one, name]) =>
      h("option", { value: one, selected: String(one) === String(here) }, name),
    ),
  );
  control.addEventListener("change", () => {
    value[key] = control.value === "" ? null : control.value;
    onChange?.();
  });
  return field(label, control, more);
}

/** Yes or no. */
export function check(value, key, label, { onChange } = {}) {
  const control = h("input", { type: "checkbox", checked: value[key] === true });
  control.addEventListener("change", () => {
    value[key] = control.checked;
    onChange?.();
  });
  return h("label", { class: "check" }, control, label);
}

/**
 * Rows that come and go.
 *
 * @param {any[]} items changed in place
 * @param {(item: any, index: number, drop: Node) => Node} row
 * @param {{add: string, blank: () => any, name: string, onChange?: Function}} more
 */
export function rows(items, row, { add, blank, name, onChange }) {
  const box = h("div");
  const draw = () => {
    show(box, ...items.map((item, index) => row(item, index, dropButton(index))));
  };
  const dropButton = (index) =>
    h(
      "button",
      {
        class: "button plain only-icon",
        type: "button",
        "aria-label": `Remove ${name} ${index + 1}`,
        title: `Remove ${name}`,
        on: {
          click: () => {
            items.splice(index, 1);
            draw();
            onChange?.();
          },
        },
      },
      icon("bin"),
    );
  const more = h(
    "button",
    {
      class: "button small",
      type: "button",
      on: {
        click: () => {
          items.push(blank());
          draw();
          box.lastElementChild.querySelector("input, select, textarea")?.focus();
          onChange?.();
        },
      },
    },
    icon("plus"),
    add,
  );
  draw();
  return h("div", { class: "stack tight" }, box, h("div", {}, more));
}

/**
 * Puts a problem's mistakes beside their fields.
 *
 * @returns {object|null} the problem with what found no place; null if all did
 */
export function place(root, problem) {
  clear(root);
  const rest = [];
  for (const error of problem.errors ?? []) {
    const target = nearest(root, error.pointer);
    if (target) mark(target, error.detail);
    else rest.push(error);
  }
  root.querySelector("[aria-invalid=true]")?.focus();
  if (problem.errors?.length && !rest.length) return null;
  return { detail: problem.detail, errors: rest, users: problem.users };
}

/** Takes all mistakes away. */
export function clear(root) {
  for (const marked of root.querySelectorAll("[aria-invalid]"))
    marked.removeAttribute("aria-invalid");
  for (const mistake of root.querySelectorAll(".mistake")) mistake.hidden = true;
}

/** The field of a pointer, or of the longest beginning of it. */
export function nearest(root, pointer) {
  for (let way = pointer ?? ""; way; way = way.slice(0, way.lastIndexOf("/"))) {
    const found = root.querySelector(`[data-pointer="${CSS.escape(way)}"]`);
    if (found) return found;
  }
  return null;
}

/** Says what is wrong with a field; a fold that hides it opens. */
export function mark(target, detail) {
  target.closest("details")?.setAttribute("open", "");
  const words = target.querySelector(".mistake");
  words.textContent = words.hidden ? detail : `${words.textContent}; ${detail}`;
  words.hidden = false;
  const control = target.querySelector("input, select, textarea");
  control?.setAttribute("aria-invalid", "true");
  const forgive = () => {
    words.hidden = true;
    control?.removeAttribute("aria-invalid");
  };
  target.addEventListener("input", forgive, { once: true }); // it is being mended
}
