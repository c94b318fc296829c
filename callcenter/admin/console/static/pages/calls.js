/** The history of calls: search, filters, columns, export, and the live ones on top of it. */

import { all, get, post, withQuery } from "../core/api.js";
import { app, may } from "../core/app.js";
import { debounced, h, show } from "../core/dom.js";
import { plural } from "../core/format.js";
import { OUTCOMES } from "../core/outcomes.js";
import { callTable, chosenColumns, columnChoice, titlesOf } from "../parts/call_table.js";
import { ask } from "../parts/dialog.js";
import { problemNote, toast } from "../parts/feedback.js";
import { line } from "../parts/form.js";
import { button, empty, linkButton, page, paged } from "../parts/page.js";

const STATES = [
  ["", "All calls"],
  ["active", "Live now"],
  ["ended", "Ended"],
];
const ORDERS = [
  ["", "Newest first"],
  ["started_at", "Oldest first"],
  ["-duration_s", "Longest first"],
  ["-setup_s", "Slowest to answer first"],
  ["-turn_gap_mean_s", "Longest turn gap first"],
];
const NOTHING_WANTED = { q: "", state: "", persona: "", outcome: "", from: "", to: "", sort: "" };
const TYPING_MS = 250;

export async function view(place) {
  const wanted = { ...NOTHING_WANTED, ...place.query };
  const list = h("section", { class: "card flush", "aria-live": "polite" });
  const [shown, personas] = [chosenColumns(), await all("/v1/personas")];
  const titles = titlesOf(personas);
  const exporting = h("a", { class: "button", download: "" }, "Export CSV");
  let turn = 0;
  const look = async () => {
    app.router.note(wanted);
    exporting.href = withQuery("/v1/calls:export", queryOf(wanted));
    const mine = (turn += 1);
    try {
      const found = await paged(
        (cursor) => get("/v1/calls", { ...queryOf(wanted), cursor, limit: 50 }),
        (items) => (items.length ? callTable(items, titles, shown) : nothing(wanted)),
      );
      if (mine === turn && place.isHere()) show(list, found);
    } catch (problem) {
      show(list, problemNote(problem));
    }
  };
  await look();
  const actions = [exporting, may("admin") && eraseButton(look)];
  return page(
    { title: "Calls", actions },
    h(
      "search",
      { class: "row" },
      searchField(wanted, look),
      ...filters(wanted, personas, look),
      columnChoice(shown, look),
    ),
    list,
  );
}

/** The API's query: the days are those of this browser's time zone, both included. */
export function queryOf({ from, to, ...wanted }) {
  const begin = (day, later) => {
    const [year, month, date] = day.split("-").map(Number);
    const at = new Date(year, month - 1, date + later);
    return Number.isNaN(at.getTime()) ? "" : at.toISOString();
  };
  return { ...wanted, since: from && begin(from, 0), until: to && begin(to, 1) };
}

/** None fit, or there are none at all. */
function nothing(wanted) {
  const narrowed = Object.entries(wanted).some(([key, value]) => key !== "sort" && value);
  return narrowed
    ? empty(
        "No calls match these filters.",
        button("Clear filters", () => app.router.go("/calls"), { tone: "small" }),
      )
    : empty(
        "No calls yet. They appear here as soon as somebody calls one of your numbers.",
        linkButton("Set up a number", "/numbers", { tone: "small" }),
      );
}

const eraseButton = (look) =>
  button("Erase a caller’s calls", () => eraseCaller(look), { image: "bin" });

async function eraseCaller(look) {
  const value = { number: "" };
  const done = await ask({
    title: "Erase a caller’s calls?",
    body: [
      h("p", {}, "Their number and all that was said in their calls are deleted for good."),
      line(value, "number", "Caller’s number", {
        pointer: "/number",
        hint: "With the country: +49 30 1234567",
        attributes: { inputmode: "tel", placeholder: "+1 555 0100" },
      }),
    ],
    action: "Erase",
    tone: "danger",
    submit: () => eraseAll(bare(value.number)),
  });
  if (!done) return;
  const rest = done.live ? ` ${plural(done.live, "call")} still going on: erase later.` : "";
  toast(`${plural(done.erased, "call")} erased.${rest}`);
  look();
}

/** A number as carriers write it; the name of a SIP user stays as it is. */
const bare = (typed) =>
  /^[+0-9 ()./-]+$/.test(typed) ? typed.replace(/[ ()./-]/g, "") : typed.trim();

/** As many requests as it takes. */
async function eraseAll(number) {
  const sum = { erased: 0, live: 0 };
  for (let more = true; more; ) {
    const found = await post("/v1/calls:erase", { number });
    sum.erased += found.erased;
    ({ live: sum.live, more } = found);
  }
  return sum;
}

function searchField(wanted, look) {
  const later = debounced(TYPING_MS, look);
  const input = h("input", {
    type: "search",
    "data-key": "search",
    "aria-label": "Search calls",
    placeholder: "Part of a number, or the beginning of a call’s id or a persona’s name   ( / )",
    maxlength: 120,
    value: wanted.q,
  });
  input.addEventListener("input", () => {
    wanted.q = input.value.trim();
    later();
  });
  return h("div", { class: "grow" }, input);
}

function filters(wanted, personas, look) {
  const set = (key) => (value) => Object.assign(wanted, { [key]: value }) && look();
  const names = personas.map(({ name, title }) => [name, title]);
  return [
    select("State", STATES, wanted.state, set("state")),
    select("Outcome", [["", "All outcomes"], ...Object.entries(OUTCOMES)], wanted.outcome, set("outcome")),
    select("Persona", [["", "All personas"], ...names], wanted.persona, set("persona")),
    day("From", wanted.from, set("from")),
    day("To", wanted.to, set("to")),
    select("Order", ORDERS, wanted.sort, set("sort")),
  ];
}

const day = (label, value, choose) =>
  h(
    "label",
    { class: "day" },
    h("span", { class: "small faint" }, label),
    h("input", { type: "date", value, on: { change: (event) => choose(event.target.value) } }),
  );

const select = (label, options, value, choose) =>
  h(
    "div",
    {},
    h(
      "select",
      { "aria-label": label, on: { change: (event) => choose(event.target.value) } },
      ...options.map(([one, name]) => h("option", { value: one, selected: one === value }, name)),
    ),
  );
