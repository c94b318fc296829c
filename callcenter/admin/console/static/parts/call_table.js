/** Calls as a table: its columns, which of them are shown, and how a call is named. */

import { h } from "../core/dom.js";
import { delay, exact, length, moment } from "../core/format.js";
import { BAD, endOf, outcomeOf } from "../core/outcomes.js";
import { badge, link, table } from "./page.js";

const TONES = { live: "good", connecting: "accent", ringing: "accent" };
const KEPT = "calls.columns"; // in the browser: a person's own choice
const number = (text) => h("span", { class: "number" }, text);

/** Key, heading, cell, class, and whether it is shown to who has chosen nothing. */
const COLUMNS = [
  ["started", "Started", (call) => startedOf(call), "one-line", true],
  ["from", "From", (call) => call.caller || "unknown", "one-line", true],
  ["to", "To", (call) => calledOf(call), "one-line", true],
  ["persona", "Persona", (call, titles) => personaOf(call, titles), "", true],
  ["state", "Status", (call) => outcomeCell(call), "", true],
  ["length", "Length", (call) => number(length(lengthOf(call))), "to-end", true],
  ["setup", "To answer", (call) => number(delay(call.setup_s)), "to-end one-line", true],
  ["gap", "Turn gap", (call) => number(delay(call.turn_gap_mean_s)), "to-end one-line", true],
  ["barge_ins", "Interruptions", (call) => number(call.barge_ins), "to-end", false],
  ["trunk", "Trunk", (call) => call.trunk || "–", "", false],
  ["route", "Route", (call) => call.route || "–", "", false],
  ["voice", "Voice", (call) => call.voice || "–", "", false],
  ["worker", "Worker", (call) => h("span", { class: "code small" }, call.worker_id || "–"), "", false],
];

/** @param {Map<string, string>} titles of personas */
export function callTable(items, titles, shown = usualColumns()) {
  const columns = COLUMNS.filter(([key]) => key === "started" || shown.has(key));
  return table(
    "Calls",
    columns.map(([, head, cell, shape]) => [head, (call) => cell(call, titles), shape]),
    items,
  );
}

const usualColumns = () => new Set(COLUMNS.filter((one) => one[4]).map(([key]) => key));

/** What this person chose. */
export function chosenColumns() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT));
    return Array.isArray(kept) ? new Set(kept) : usualColumns();
  } catch {
    return usualColumns(); // no storage, or somebody else's text in it
  }
}

/** A fold with a box for each column. */
export function columnChoice(shown, onChange) {
  const turn = (key, on) => {
    if (on) shown.add(key);
    else shown.delete(key);
    try {
      localStorage.setItem(KEPT, JSON.stringify([...shown]));
    } catch {} // no storage: the choice lasts as long as the page
    onChange();
  };
  const boxes = COLUMNS.filter(([key]) => key !== "started").map(([key, head]) => {
    const box = h("input", { type: "checkbox", checked: shown.has(key) });
    box.addEventListener("change", () => turn(key, box.checked));
    return h("label", { class: "check" }, box, head);
  });
  return h(
    "details",
    { class: "columns-choice" },
    h("summary", { class: "button" }, "Columns"),
    h("div", { class: "card", role: "group", "aria-label": "Columns" }, ...boxes),
  );
}

const startedOf = (call) =>
  h("span", { title: exact(call.started_at) }, link(address(call), moment(call.started_at)));

function outcomeCell(call) {
  const why = call.state === "ended" && BAD.has(call.outcome) && call.code;
  return [stateBadge(call), why && h("div", { class: "small faint" }, endOf(call.code))];
}

/** How a call stands, or how it ended. */
export function stateBadge(call) {
  if (call.state !== "ended") return badge(call.state, TONES[call.state], true);
  return badge(outcomeOf(call), BAD.has(call.outcome) ? "danger" : "");
}

/** "Retail bank v3"; a draft under test has version 0. */
export function personaOf({ persona, persona_version: version }, titles = new Map()) {
  if (!persona) return "–";
  const title = titles.get(persona) ?? persona;
  if (version === "0") return `${title} (draft)`;
  return version ? `${title} v${version}` : title;
}

/** The dialled number; a trial's made-up name says nothing to people. */
export const calledOf = ({ called }) => (called.startsWith("trial-") ? "test call" : called || "–");

export const address = (call) => `/calls/${encodeURIComponent(call.id)}`;

/** Seconds since the call began, or how long it was. */
export const lengthOf = (call, now = Date.now()) =>
  call.state === "ended" ? call.duration_s : (now - new Date(call.started_at).getTime()) / 1_000;

/** Titles by names. */
export const titlesOf = (personas) => new Map(personas.map(({ name, title }) => [name, title]));
