/** Overview: is it well, how many calls, how fast are answers. Looks again by itself. */

import { all, get } from "../core/api.js";
import { h, show } from "../core/dom.js";
import { count, delay, plural } from "../core/format.js";
import { callTable, titlesOf } from "../parts/call_table.js";
import { chart } from "../parts/chart.js";
import { note } from "../parts/feedback.js";
import { icon } from "../parts/icons.js";
import { empty, link, page } from "../parts/page.js";

const EVERY_MS = 4_000;
const SPANS = [
  [6, "6 hours"],
  [24, "24 hours"],
  [72, "3 days"],
  [168, "7 days"],
];

export async function view(place) {
  let hours = Number(place.query.hours) || 24;
  const titles = titlesOf(await all("/v1/personas"));
  const body = h("div", { class: "stack" });
  const look = async () => {
    const [overview, live] = await Promise.all([
      get("/v1/overview", { hours }),
      get("/v1/calls", { state: "active", limit: 20 }),
    ]);
    if (place.isHere()) show(body, ...sections(overview, live.items, titles));
  };
  await look();
  const timer = setInterval(() => look().catch(() => {}), EVERY_MS); // the next look may succeed
  place.leaving(() => clearInterval(timer));
  return page(
    { title: "Overview", actions: [spanChoice(hours, (next) => ((hours = next), look()))] },
    body,
  );
}

const spanChoice = (hours, choose) =>
  h(
    "div",
    {},
    h("label", { class: "unseen", for: "span" }, "How far back"),
    h(
      "select",
      { id: "span", on: { change: (event) => choose(Number(event.target.value)) } },
      ...SPANS.map(([value, label]) => h("option", { value, selected: value === hours }, label)),
    ),
  );

function sections(overview, live, titles) {
  const { points } = overview;
  return [
    ...overview.alerts.map(alert),
    firstSteps(overview.first_steps),
    tiles(overview),
    h(
      "section",
      { class: "card flush" },
      h("h2", {}, "Live calls"),
      live.length ? callTable(live, titles) : empty("No live calls."),
    ),
    h(
      "div",
      { class: "charts three" },
      chart("Calls", points, {
        value: (point) => point.calls,
        bad: lost,
        format: whole,
        bars: true,
        lead: plural(total(points, "calls"), "call"),
      }),
      chart("Time to answer", points, {
        value: (point) => point.setup_s,
        format: delay,
        lead: `mean; p95 ${delay(overview.setup_p95_s)}`,
      }),
      chart("Turn gap", points, {
        value: (point) => point.turn_gap_s,
        format: delay,
        lead: `mean; p95 ${delay(overview.turn_gap_p95_s)}`,
      }),
      chart("Failed calls", points, {
        value: lost,
        bad: lost,
        format: whole,
        bars: true,
        lead: summary(points),
        nothing: "None in this period.",
      }),
      chart("Barge-ins", points, {
        value: (point) => point.barge_ins,
        format: whole,
        bars: true,
        lead: "callers who interrupt",
        nothing: "None in this period.",
      }),
      chart("Time to yield", points, {
        value: (point) => point.yield_s,
        format: delay,
        lead: "after a barge-in",
      }),
    ),
  ];
}

/** Whole things; half of one is no place on an axis. */
const whole = (one) => (Number.isInteger(one) ? count(one) : "");

const alert = ({ level, text }) => note(level === "error" ? "danger" : "warning", text);

/** Callers who got no agent, or lost theirs. */
const lost = (point) => point.failed + point.refused + point.abandoned;

const total = (points, key) => points.reduce((sum, point) => sum + point[key], 0);

const summary = (points) =>
  ["failed", "refused", "abandoned"]
    .filter((key) => total(points, key) > 0)
    .map((key) => `${count(total(points, key))} ${key}`)
    .join(", ");

/** What a new installation needs, until it has had its first call. */
function firstSteps({ persona, number, call }) {
  if (call) return null;
  const step = (done, href, label, why) =>
    h("li", { data: { taken: done ? "yes" : null } }, icon(done ? "check" : "minus"),
      h("span", {}, link(href, label), ` ${why}`));
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "Take your first call"),
    h(
      "ol",
      { class: "steps" },
      step(persona, "/personas", "Publish a persona", "It says who answers, and what it knows."),
      step(number, "/numbers", "Add a number", "It says which persona answers it."),
      step(call, "/calls", "Make a call", "Dial the number, or call a persona’s draft from its page."),
    ),
  );
}

function tiles(overview) {
  const { live_calls, free_slots, slots, pools, points, setup_p95_s } = overview;
  const { revision, published_revision } = overview;
  const fresh = published_revision !== null && published_revision >= revision;
  const workers = pools.reduce((sum, pool) => sum + pool.workers, 0);
  return h(
    "dl",
    { class: "tiles" },
    tile("Live calls", count(live_calls), link("/calls?state=active", "View all")),
    tile("Free slots", count(free_slots), `of ${count(slots)}, on ${plural(workers, "worker")}`),
    tile(
      "Time to answer",
      delay(mean(points, "setup_s", "calls")),
      `mean; p95 ${delay(setup_p95_s)}`,
    ),
    tile(
      "Configuration",
      fresh ? "Published" : "Waiting",
      fresh ? "all changes are live" : "changes go live in a moment",
    ),
  );
}

const tile = (name, value, more) =>
  h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, value, h("small", {}, more)));

function mean(points, key, weight) {
  const known = points.filter((point) => point[key] !== null);
  const total = known.reduce((sum, point) => sum + point[weight], 0);
  return total ? known.reduce((sum, point) => sum + point[key] * point[weight], 0) / total : null;
}
