/** The form of a persona's content. Facts and variables are rows here and objects in the content. */

import { h } from "../core/dom.js";
import { choice, line, number, rows, text } from "./form.js";
import { card } from "./page.js";

const LIMITS = [
  ["max_call_s", "Max call length, in seconds", "10 to 14,400", 1_800],
  ["silence_after_s", "Ask after silence, in seconds", "2 to 60", 6],
  [
    "max_prompt_tokens",
    "Prompt budget, in tokens",
    "16 to 1,000; each one takes 80 ms to prime",
    300,
  ],
  ["max_answer_words", "Max answer length, in words", "For engines with a language model", 40],
];
const SAMPLING = [
  ["text_temperature", "Text temperature", 0.7],
  ["text_top_k", "Text top k", 25],
  ["audio_temperature", "Audio temperature", 0.8],
  ["audio_top_k", "Audio top k", 250],
];

/** A content as the form holds it. */
export function editable(content) {
  return {
    ...structuredClone(content),
    facts: Object.entries(content.facts ?? {}).map(([name, said]) => ({ name, said })),
    variables: Object.entries(content.variables ?? {}).map(([name, variable]) => ({
      name,
      ...variable,
    })),
    sampling: { ...content.sampling },
    limits: { ...content.limits },
    dialogue: content.dialogue ? JSON.stringify(content.dialogue, null, 2) : "",
  };
}

/** The content that a form holds; what is empty is left out, so that the defaults count. */
export function contentOf(form) {
  const content = {
    ...form,
    facts: Object.fromEntries(form.facts.map(({ name, said }) => [name, said])),
    variables: Object.fromEntries(
      form.variables.map(({ name, ...variable }) => [name, given(variable)]),
    ),
    sampling: given(form.sampling),
    limits: given(form.limits),
  };
  delete content.dialogue;
  const dialogue = readDialogue(form.dialogue);
  return dialogue === null ? content : { ...content, dialogue };
}

const given = (fields) =>
  Object.fromEntries(
    Object.entries(fields).filter(
      ([, value]) => value !== null && value !== undefined && value !== "",
    ),
  );

/** A dialogue that is no JSON goes as text: the API says what is wrong with it. */
function readDialogue(written) {
  if (!written.trim()) return null;
  try {
    return JSON.parse(written);
  } catch {
    return written;
  }
}

/**
 * @param {object} form from `editable`; changed in place
 * @param {{name: string, title: string, blocked: string}[]} voices
 * @param {() => void} onChange
 */
export function personaForm(form, voices, onChange) {
  const at = (pointer, more = {}) => ({ pointer, onChange, ...more });
  return h(
    "form",
    { class: "stack", novalidate: true, on: { submit: (event) => event.preventDefault() } },
    card(
      "Prompt",
      text(
        form,
        "role_text",
        "Role",
        at("/role_text", {
          rows: 11,
          hint: "What the agent knows and how it behaves. {{name}} stands for a fact or a variable of this page.",
          attributes: { "aria-label": "Role", spellcheck: "true" },
        }),
      ),
      line(form, "greeting", "Greeting", at("/greeting", { hint: "The agent’s first line." })),
    ),
    card(
      "Facts",
      h(
        "p",
        { class: "hint" },
        "What the agent says where role, greeting or dialogue have {{name}}.",
      ),
      factRows(form, onChange),
    ),
    card(
      "Variables",
      h(
        "p",
        { class: "hint" },
        "Values that a route or a call sets. Without a default, every call must set one.",
      ),
      variableRows(form, onChange),
    ),
    card(
      "Voice and language",
      h(
        "div",
        { class: "fields" },
        line(form, "title", "Title", at("/title", { attributes: { maxlength: 120 } })),
        choice(form, "voice", "Voice", voices.map(voiceOption), at("/voice")),
        line(form, "language", "Language", at("/language", { hint: "Such as en or en-US" })),
      ),
    ),
    card(
      "Limits",
      h(
        "div",
        { class: "fields pairs" },
        ...LIMITS.map(([key, label, hint, usual]) =>
          number(
            form.limits,
            key,
            label,
            at(`/limits/${key}`, { hint, attributes: { placeholder: usual, step: "any" } }),
          ),
        ),
      ),
    ),
    h("section", { class: "card" }, advanced(form, at)),
  );
}

const voiceOption = ({ name, title, blocked }) => [name, blocked ? `${title} (not usable)` : title];

const advanced = (form, at) =>
  h(
    "details",
    {},
    h("summary", {}, "Sampling and scripted dialogue"),
    h(
      "div",
      { class: "form" },
      h(
        "div",
        { class: "fields" },
        ...SAMPLING.map(([key, label, usual]) =>
          number(
            form.sampling,
            key,
            label,
            at(`/sampling/${key}`, { attributes: { placeholder: usual, step: "any" } }),
          ),
        ),
      ),
      text(
        form,
        "dialogue",
        "Dialogue (JSON)",
        at("/dialogue", {
          rows: 12,
          hint: "For engines without a language model. Leave empty for none.",
          attributes: { class: "code", spellcheck: "false" },
        }),
      ),
    ),
  );

const factRows = (form, onChange) =>
  rows(
    form.facts,
    (fact, index, drop) =>
      h(
        "div",
        { class: "list-row" },
        line(fact, "name", `Name of fact ${index + 1}`, {
          hideLabel: true,
          onChange,
          attributes: { placeholder: "name", spellcheck: "false" },
        }),
        line(fact, "said", `Fact ${index + 1}`, {
          hideLabel: true,
          shape: "broad",
          onChange,
          pointer: `/facts/${fact.name}`,
          attributes: { placeholder: "what the agent says" },
        }),
        drop,
      ),
    { add: "Add a fact", blank: () => ({ name: "", said: "" }), name: "fact", onChange },
  );

const variableRows = (form, onChange) =>
  rows(
    form.variables,
    (variable, index, drop) =>
      h(
        "div",
        { class: "list-row", data: { pointer: `/variables/${variable.name}` } },
        line(variable, "name", "Name", { onChange, attributes: { spellcheck: "false" } }),
        line(variable, "description", "What it is", {
          shape: "broad",
          onChange,
          pointer: `/variables/${variable.name}/description`,
        }),
        line(variable, "default", "Default", {
          onChange,
          empty: null,
          pointer: `/variables/${variable.name}/default`,
        }),
        number(variable, "max_chars", "Max characters", {
          shape: "slim",
          onChange,
          pointer: `/variables/${variable.name}/max_chars`,
          attributes: { placeholder: 60 },
        }),
        drop,
      ),
    {
      add: "Add a variable",
      blank: () => ({ name: "", description: "", default: null }),
      name: "variable",
      onChange,
    },
  );
