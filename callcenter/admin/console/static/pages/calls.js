/** The history of calls: search, filters, and the live ones on top of it. */

import { all, get, post } from "../core/api.js";
import { app, may } from "../core/app.js";
import { debounced, h, show } from "../core/dom.js";
import { delay, length, moment, plural, words } from "../core/format.js";
import { ask } from "../parts/dialog.js";
import { problemNote, toast } from "../parts/feedback.js";
import { line } from "../parts/form.js";
import { badge, button, empty, link, page, paged, table } from "../parts/page.js";

const STATES = [
  ["", "All calls"],
  ["active", "Live now"],
  ["ended", "Ended"],
];
const TONES = { live: "good", connecting: "accent", ringing: "accent" };
const BAD = new Set(["failed", "lost", "rejected"]);
const TYPING_MS = 250;

export async function view(place) {
  const wanted = { q: "", state: "", persona: "", ...place.query };
  const list = h("section", { class: "card flush", "aria-live": "polite" });
  let turn = 0;
  const look = async () => {
    app.router.note(wanted);
    const mine = (turn += 1);
    try {
      const found = await paged(
        (cursor) => get("/v1/calls", { ...wanted, cursor, limit: 50 }),
        (items) => callTable(items, "No calls match."),
      );
      if (mine === turn && place.isHere()) show(list, found);
    } catch (problem) {
      show(list, problemNote(problem));
    }
  };
  const [personas] = await Promise.all([all("/v1/personas"), look()]);
  return page(
    { title: "Calls", actions: may("admin") ? [eraseButton(look)] : [] },
    h("search", { class: "row" }, searchField(wanted, look), ...filters(wanted, personas, look)),
    list,
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
  const names = personas.map(({ name, title }) => [name, title]);
  return [
    select("State", STATES, wanted.state, (state) => Object.assign(wanted, { state }) && look()),
    select(
      "Persona",
      [["", "All personas"], ...names],
      wanted.persona,
      (persona) => Object.assign(wanted, { persona }) && look(),
    ),
  ];
}

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

/** Calls as a table; used by the overview, too. */
export function callTable(items, nothing) {
  if (items.length === 0) return empty(nothing);
  return table(
    "Calls",
    [
      ["Began", (call) => link(address(call), moment(call.started_at)), "one-line"],
      ["From", (call) => call.caller || "unknown", "one-line"],
      ["To", calledOf, "one-line"],
      ["Persona", (call) => personaOf(call)],
      ["State", stateBadge],
      ["Length", (call) => h("span", { class: "number" }, length(lengthOf(call))), "to-end"],
      [
        "To answer",
        (call) => h("span", { class: "number" }, delay(call.setup_s)),
        "to-end one-line",
      ],
      [
        "Turn gap",
        (call) => h("span", { class: "number" }, delay(call.turn_gap_mean_s)),
        "to-end one-line",
      ],
    ],
    items,
  );
}

/** How a call stands, or how it ended. */
export function stateBadge(call) {
  if (call.state !== "ended") return badge(call.state, TONES[call.state], true);
  return badge(words(call.outcome || "ended"), BAD.has(call.outcome) ? "danger" : "");
}

/** "bank v3"; a draft under test has version 0. */
export function personaOf({ persona, persona_version: version }) {
  if (!persona) return "–";
  if (version === "0") return `${persona} (draft)`;
  return version ? `${persona} v${version}` : persona;
}

/** The dialled number; a trial's made-up name says nothing to people. */
export const calledOf = ({ called }) => (called.startsWith("trial-") ? "test call" : called || "–");

export const address = (call) => `/calls/${encodeURIComponent(call.id)}`;

/** Seconds since the call began, or how long it was. */
export const lengthOf = (call, now = Date.now()) =>
  call.state === "ended" ? call.duration_s : (now - new Date(call.started_at).getTime()) / 1_000;
