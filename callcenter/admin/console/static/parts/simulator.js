/** Where would a call go, and why: the gateways' own code answers. */

import { post } from "../core/api.js";
import { freshId, h, show } from "../core/dom.js";
import { problemNote } from "./feedback.js";
import { choice, line, place } from "./form.js";
import { icon } from "./icons.js";
import { card, link } from "./page.js";

const DRAW_STEPS = 20;

/** @param {{name: string}[]} numbers @param {{name: string}[]} trunks */
export function simulator(numbers, trunks) {
  const value = {
    called: numbers[0]?.name ?? "",
    caller: "",
    trunk: trunks[0]?.name ?? "twilio",
    header: "",
    at: "",
    draw: 0,
  };
  const [result, list] = [
    h("div", { "aria-live": "polite", class: "stack tight" }),
    freshId("numbers"),
  ];
  const draw = h("input", {
    type: "range",
    min: 0,
    max: DRAW_STEPS - 1,
    value: 0,
    id: freshId("draw"),
  });
  draw.addEventListener("input", () => (value.draw = Number(draw.value) / DRAW_STEPS));
  const form = h(
    "form",
    { class: "form", novalidate: true },
    line(value, "called", "Called number", {
      pointer: "/called",
      attributes: { list, inputmode: "tel" },
    }),
    h("datalist", { id: list }, ...numbers.map(({ name }) => h("option", { value: name }))),
    line(value, "caller", "Caller", {
      pointer: "/caller",
      attributes: { placeholder: "+1 555 0199", inputmode: "tel" },
    }),
    choice(value, "trunk", "Trunk", [...trunks.map(({ name }) => [name, name])], {
      pointer: "/trunk",
    }),
    h(
      "details",
      {},
      h("summary", { class: "small" }, "More options"),
      h(
        "div",
        { class: "form" },
        line(value, "at", "When", {
          pointer: "/at",
          hint: "Empty for now",
          attributes: { type: "datetime-local" },
        }),
        line(value, "header", "Header", {
          pointer: "/headers",
          attributes: { placeholder: "X-Language: de" },
        }),
        h(
          "div",
          { class: "field" },
          h("label", { for: draw.id }, "Random draw between weighted personas"),
          draw,
        ),
      ),
    ),
    h("button", { class: "button primary", type: "submit" }, "Simulate"),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      place(form, {});
      show(result, ...told(await post("/v1/routes:simulate", callOf(value))));
    } catch (problem) {
      if (problem.status === undefined) throw problem;
      const rest = place(form, problem);
      show(result, rest && problemNote(rest));
    }
  });
  return card("Simulator", form, result);
}

function callOf({ called, caller, trunk, header, at, draw }) {
  const [name, ...text] = header.split(":");
  const bare = (number) => number.replace(/[ ()./-]/g, "");
  return {
    called: called.startsWith("trial-") ? called : bare(called),
    caller: bare(caller),
    trunk: trunk ?? "",
    headers: header.trim() ? { [name.trim()]: text.join(":").trim() } : {},
    at: at ? new Date(at).toISOString() : null,
    draw,
  };
}

const told = ({ route, actions, steps }) => [
  h("h3", {}, "Result"),
  actions.length === 0
    ? h("p", { class: "spoken" }, "Nobody answers this call: no number or route matches.")
    : h(
        "ol",
        { class: "steps" },
        ...actions.map((action, index) =>
          h(
            "li",
            { data: { taken: index ? null : "yes" } },
            icon(index ? "minus" : "check"),
            actionText(action, index),
          ),
        ),
      ),
  route &&
    h(
      "p",
      { class: "small faint" },
      "by route ",
      link(`/routes/${encodeURIComponent(route)}`, route),
    ),
  h("h3", {}, "Why"),
  steps.length === 0
    ? h("p", { class: "spoken" }, "There is no such number and no route.")
    : h("ol", { class: "steps" }, ...steps.map(step)),
];

function actionText({ kind, persona, version, detail }, index) {
  const what =
    kind === "answer" ? `answered by ${persona}, version ${version}` : `${kind}: ${detail}`;
  return h("span", {}, index ? `else ${what}` : what);
}

const step = ({ subject, taken, why }) =>
  h(
    "li",
    { data: { taken: taken ? "yes" : null } },
    icon(taken ? "check" : "minus"),
    h("span", {}, h("strong", {}, subject), ` ${why}`),
  );
