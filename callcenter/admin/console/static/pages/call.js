/** One call, as it happens and afterwards: lanes, the agent's words, delays, what happened. */

import { all, get, path, post, remove } from "../core/api.js";
import { go, may } from "../core/app.js";
import { h, show } from "../core/dom.js";
import { count, delay, exact, length, words } from "../core/format.js";
import { endOf } from "../core/outcomes.js";
import { calledOf, lengthOf, personaOf, stateBadge, titlesOf } from "../parts/call_table.js";
import { copyable } from "../parts/copy.js";
import { ask, sure } from "../parts/dialog.js";
import { note, sentence, toast } from "../parts/feedback.js";
import { line } from "../parts/form.js";
import { lanes, stretches, talked_s } from "../parts/lanes.js";
import { timeline, utterances } from "../parts/timeline.js";
import { button, card, facts, link, page } from "../parts/page.js";

const DRAW_MS = 200;
const LOOK_MS = 3_000;

export async function view(place) {
  const { id } = place.parts;
  const personas = all("/v1/personas").catch(() => []); // names do without titles
  let call = await get(path`/v1/calls/${id}`);
  const titles = titlesOf(await personas);
  const events = call.state === "ended" ? await all(path`/v1/calls/${id}/events`) : [];
  const parts = sections();
  const redraw = () => draw(parts, call, events, titles);
  if (call.state !== "ended") {
    const look = async () => {
      call = await get(path`/v1/calls/${id}`);
      redraw();
    };
    follow(place, id, events, redraw, look);
  }
  redraw();
  return page(
    {
      title: titleOf(call),
      lead: h(
        "span",
        { class: "row" },
        `${exact(call.started_at)}, to ${calledOf(call)}`,
        copyable(id, { what: "call id", shape: "code small" }),
      ),
      back: ["/calls", "Calls"],
      actions: [parts.state, parts.orders],
    },
    ...parts.body,
  );
}

/** Who called: what a person looks for. */
const titleOf = ({ caller }) => (caller ? `Call from ${caller}` : "Call from an unknown number");

function sections() {
  const [said, steps, now, about, state, orders] = [
    h("div", { class: "said", tabindex: "0" }),
    h("div"),
    h("div"),
    h("div", { class: "stack" }),
    h("div"),
    h("div", { class: "row" }),
  ];
  const two = lanes();
  const body = [
    card("Who talks", two.element, legend()),
    h(
      "div",
      { class: "columns" },
      h("div", { class: "stack" }, card("The agent’s words", said), card("What happened", steps)),
      h("div", { class: "stack" }, now, about),
    ),
  ];
  return { two, said, steps, now, about, state, orders, body };
}

const legend = () =>
  h(
    "div",
    { class: "legend" },
    h("span", { class: "of-caller" }, "caller talks"),
    h("span", { class: "of-agent" }, "agent talks"),
    h("span", { class: "of-barge-in" }, "barge-in"),
  );

/** Listens to the call's events; they come from its beginning on. */
function follow(place, id, events, redraw, look) {
  const source = new EventSource(path`/v1/calls/${id}/stream`);
  const known = new Set();
  const onEvent = ({ data }) => {
    const event = JSON.parse(data);
    if (event.id === undefined || known.has(event.id)) return; // it connected again
    known.add(event.id);
    events.push(event);
  };
  for (const kind of KINDS) source.addEventListener(kind, onEvent);
  const drawing = setInterval(redraw, DRAW_MS);
  const looking = setInterval(() => look().catch(() => {}), LOOK_MS); // the next look may succeed
  const stop = () => {
    source.close();
    clearInterval(drawing);
    clearInterval(looking);
  };
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return; // it connects again by itself
    const why = "The live view was refused. Close another one, then load this page again.";
    look().then(() => toast(why)).catch(() => {}); // or the session is over: `look` leads to the log-in
  });
  source.addEventListener("end", () => {
    stop();
    setTimeout(() => look().catch(() => {}), 700); // the row is written a moment after the event
  });
  place.leaving(stop);
}

const KINDS = [
  "call_announced",
  "call_began",
  "session_ready",
  "first_sound",
  "speech",
  "turn",
  "text",
  "task",
  "transfer",
  "transfer_failed",
  "keys",
  "call_ended",
  "call_refused",
];

function draw(parts, call, events, titles) {
  const live = call.state !== "ended";
  const begin_ms = new Date(call.started_at).getTime();
  const found = stretches(events, begin_ms);
  const now_s = live
    ? (Date.now() - begin_ms) / 1_000
    : Math.max(call.duration_s ?? 0, last_s(events, begin_ms));
  parts.two.draw(found, now_s, live);
  show(parts.state, stateBadge(call));
  drawWords(parts.said, events, begin_ms);
  if (parts.steps.dataset.size !== String(events.length)) {
    parts.steps.dataset.size = events.length;
    show(parts.steps, timeline(events, begin_ms));
  }
  show(parts.now, numbers(call, found, now_s));
  if (parts.shown !== call.state) show(parts.about, ...about(call, titles)); // its link must stand still
  parts.shown = call.state;
  if (!live) ended(parts.orders, call);
  else if (!parts.orders.hasChildNodes()) show(parts.orders, ...orders(call));
}

const last_s = (events, begin_ms) =>
  events.length ? (new Date(events.at(-1).at).getTime() - begin_ms) / 1_000 : 0;

function drawWords(box, events, begin_ms) {
  const spoken = utterances(events, begin_ms);
  const text = spoken.map((one) => one.text).join("");
  if (box.dataset.shown === text && box.hasChildNodes()) return;
  box.dataset.shown = text;
  const reading = box.scrollHeight - box.scrollTop - box.clientHeight > 48;
  show(
    box,
    ...spoken.map((one) => h("p", {}, h("time", {}, length(one.at_s)), h("span", {}, one.text))),
  );
  if (!spoken.length)
    show(box, h("p", { class: "faint" }, h("span"), h("span", {}, "Nothing yet.")));
  if (!reading) box.scrollTop = box.scrollHeight;
}

function numbers(call, found, now_s) {
  const share = (lane) => length(talked_s(lane, now_s));
  return card(
    "Numbers",
    facts(
      ["Length", h("span", { class: "number" }, length(lengthOf(call)))],
      ["Time to answer", delay(call.setup_s)],
      ["First sound", delay(call.first_sound_s)],
      ["Turn gap", mean(call.turn_gap_mean_s, call.turn_gaps)],
      ["Barge-ins", count(call.barge_ins)],
      ["Time to yield", mean(call.yield_mean_s, call.yields)],
      ["Caller talked", share(found.caller)],
      ["Agent talked", share(found.agent)],
    ),
  );
}

function about(call, titles) {
  return [
    card(
      "The call",
      facts(
        ["Started", exact(call.started_at)],
        ["From", call.caller || "unknown"],
        ["To", calledOf(call)],
        ["Trunk", call.trunk || "–"],
        ["Route", call.route || "none; the number names its persona"],
        [
          "Persona",
          call.persona
            ? link(`/personas/${encodeURIComponent(call.persona)}`, personaOf(call, titles))
            : "–",
        ],
        ["Voice", call.voice || "–"],
        ["Worker", call.worker_id ? copyable(call.worker_id, { what: "worker id", shape: "small code" }) : "–"],
      ),
    ),
    Object.keys(call.quality).length > 0 && quality(call.quality),
    call.state === "ended" && call.code && note("", sentence(endOf(call.code))),
  ];
}

const mean = (value, number) => (number ? `${delay(value)} in ${count(number)}` : "–");

/** Packets and frames; who talked for how long stands among the numbers. */
const quality = (values) =>
  card(
    "Quality",
    facts(
      ...Object.entries(values)
        .filter(([name]) => !name.endsWith("_s"))
        .map(([name, value]) => [
          sentence(words(name)).slice(0, -1),
          typeof value === "number" ? count(value) : String(value),
        ]),
    ),
  );

function orders(call) {
  const disabled = !may("operator");
  const canMove = call.transport !== "webrtc"; // nobody could put a browser through
  return [
    call.transport === "sip" && button("Press keys", () => press(call), { disabled }),
    canMove && button("Transfer", () => transfer(call), { disabled }),
    button("Hang up", () => hangUp(call), { tone: "danger", disabled }),
  ];
}

/** Nothing can be done to a call that is over but to erase it. */
function ended(box, call) {
  if (box.dataset.of === "ended") return; // the button must stand still
  box.dataset.of = "ended";
  show(box, may("admin") && button("Erase", () => erase(call), { tone: "danger" }));
}

async function erase(call) {
  const text =
    "Its numbers, the agent’s words and all that happened in it are deleted here and in what " +
    "webhooks have yet to be told. This cannot be undone.";
  const done = await sure("Erase this call?", text, "Erase", () => remove(path`/v1/calls/${call.id}`));
  if (!done) return;
  toast("The call is erased.");
  go("/calls");
}

async function transfer(call) {
  const value = { to: "" };
  const done = await ask({
    title: "Transfer the call",
    body: [
      h("p", {}, "The agent leaves and the caller is transferred."),
      line(value, "to", "Number", {
        pointer: "/to",
        hint: "With the country: +49 30 1234567",
        attributes: { inputmode: "tel", placeholder: "+1 555 0100" },
      }),
    ],
    action: "Transfer",
    submit: () =>
      post(`${path`/v1/calls/${call.id}`}:transfer`, { to: value.to.replace(/[ ()./-]/g, "") }),
  });
  if (done) toast("The caller is being transferred.");
}

async function press(call) {
  const value = { keys: "" };
  const done = await ask({
    title: "Press keys",
    body: [
      h("p", {}, "The caller’s end gets them as if they were pressed here: a menu, an extension."),
      line(value, "keys", "Keys", {
        pointer: "/keys",
        hint: "0 to 9, * and #; a pause is not possible",
        attributes: { inputmode: "tel", placeholder: "123#" },
      }),
    ],
    action: "Press",
    submit: () =>
      post(`${path`/v1/calls/${call.id}`}:press`, { keys: value.keys.replace(/ /g, "") }),
  });
  if (done) toast("The keys are pressed.");
}

const hangUp = (call) =>
  sure("Hang up?", "This ends the call for the caller at once.", "Hang up", async () => {
    await post(path`/v1/calls/${call.id}/hangup`);
    toast("Ending the call.");
  });
