/** A call's events in words. */

import { h } from "../core/dom.js";
import { delay, length, words } from "../core/format.js";
import { endOf } from "../core/outcomes.js";
import { heldAt, stretches } from "./lanes.js";

const PAUSE_S = 1.5; // a longer one begins a new paragraph

/**
 * The agent's words, a paragraph for each time that it speaks.
 *
 * @returns {{at_s: number, text: string}[]}
 */
export function utterances(events, begin_ms) {
  const found = [];
  let last_s = -Infinity;
  for (const { kind, at, data } of events) {
    if (kind !== "text") continue;
    const at_s = (new Date(at).getTime() - begin_ms) / 1_000;
    if (at_s - last_s > PAUSE_S) found.push({ at_s, text: "" });
    found.at(-1).text += data.piece ?? "";
    last_s = at_s;
  }
  return found
    .map(({ at_s, text }) => ({ at_s, text: text.replace(/\s+/g, " ").trim() }))
    .filter(({ text }) => text);
}

/**
 * Who spoke when, a turn each: what one party says until the other one begins.
 *
 * @returns {{at_s: number, party: string, text: string}[]}
 */
export function turns(events, begin_ms) {
  const found = stretches(events, begin_ms);
  const spoken = ["caller", "agent"]
    .flatMap((party) => found[party].map(([from_s, to_s]) => ({ party, from_s, to_s })))
    .sort((one, other) => one.from_s - other.from_s);
  const merged = [];
  for (const one of spoken) {
    const last = merged.at(-1);
    if (last?.party === one.party) last.to_s = Math.max(last.to_s, one.to_s);
    else merged.push({ ...one });
  }
  return merged.map(({ party, from_s, to_s }) => {
    const who = party === "caller" ? "The caller" : "The agent";
    const text = to_s === Infinity ? `${who} is talking` : `${who} talks for ${delay(to_s - from_s)}`;
    return { at_s: from_s, party, text };
  });
}

/** What happened, without the single words; speech is folded into turns. */
export function timeline(events, begin_ms) {
  const steps = events
    .filter(({ kind }) => kind !== "text" && kind !== "speech")
    .map((event) => {
      const [text, party] = told(event);
      return { at_s: heldAt(event, begin_ms), party, text };
    });
  const shown = [...steps, ...turns(events, begin_ms)].sort((one, other) => one.at_s - other.at_s);
  return h(
    "ol",
    { class: "timeline" },
    ...shown.map(({ at_s, party, text }) =>
      h("li", { data: { party } }, h("time", {}, length(at_s)), h("div", {}, text)),
    ),
  );
}

function told({ kind, data }) {
  const tell = WORDS[kind === "turn" ? data.kind : kind];
  return tell ? tell(data) : [words(kind === "turn" ? data.kind : kind), ""];
}

const WORDS = {
  call_announced: (data) => [
    `The call came in for ${data.persona}, ${data.persona_version === "0" ? "the draft" : `version ${data.persona_version}`}`,
    "",
  ],
  call_began: (data) => [`The media connected; worker ${data.worker_id}`, ""],
  session_ready: (data) => [
    `Caller and agent are connected, ${delay(data.setup_s)} after the call came in`,
    "agent",
  ],
  first_sound: (data) => [`The agent’s first sound, after ${delay(data.after_s)}`, "agent"],
  TurnGap: (data) => [`The agent answers, ${delay(data.gap_s)} after the caller`, "agent"],
  OverlapStart: () => ["The agent talks over the caller", "trouble"],
  BargeIn: () => ["The caller interrupts the agent", "caller"],
  Yielded: (data) => [`The agent stops talking, ${delay(data.latency_s)} after the interruption`, "agent"],
  MissedBargeIn: () => ["The agent talked on over an interruption", "trouble"],
  Backchannel: () => ["The caller says a short word; the agent goes on", "caller"],
  FalseStop: () => ["The agent stopped although the caller only said a short word", "trouble"],
  task: (data) => [
    `The caller confirmed: ${data.task}; ${Object.entries(data.fields ?? {}).map(([name, value]) => `${name} ${value}`).join(", ")}`,
    "",
  ],
  transfer: (data) => [`Transferring the caller to ${data.number}`, ""],
  transfer_failed: (data) => [`The transfer failed: ${data.why}`, "trouble"],
  keys: (data) => [
    `An operator pressed ${data.pressed === 1 ? "a key" : `${data.pressed} keys`}`,
    "",
  ],
  call_refused: (data) => [`No agent answered: ${endOf(data.code ?? "")}`, "trouble"],
  call_ended: (data) => [
    `The call ended: ${endOf(data.code ?? data.outcome ?? "")}`,
    data.outcome === "failed" ? "trouble" : "",
  ],
};
