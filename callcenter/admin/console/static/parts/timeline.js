/** A call's events in words. */

import { h } from "../core/dom.js";
import { delay, length, words } from "../core/format.js";
import { heldAt } from "./lanes.js";

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

/** What happened, without the single words. */
export function timeline(events, begin_ms) {
  const shown = events
    .filter(({ kind, data }) => kind !== "text" && !(kind === "speech" && !data.speaking))
    .sort((one, other) => heldAt(one, begin_ms) - heldAt(other, begin_ms));
  return h(
    "ol",
    { class: "timeline" },
    ...shown.map((event) => {
      const at_s = heldAt(event, begin_ms);
      const [text, party] = told(event);
      return h("li", { data: { party } }, h("time", {}, length(at_s)), h("div", {}, text));
    }),
  );
}

function told({ kind, data }) {
  const tell = WORDS[kind === "turn" ? data.kind : kind];
  return tell ? tell(data) : [words(kind === "turn" ? data.kind : kind), ""];
}

const ENDS = {
  hangup: "the caller hung up",
  agent_hangup: "the agent hung up",
  max_duration: "the maximum call length was reached",
  operator_hangup: "hung up from the console",
  transferred: "handed over to another number",
  shutdown: "the gateway shut down",
  lost: "the connection was lost",
};

/** Why a call ended, in words. */
export const endOf = (code) => ENDS[code] ?? words(code);

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
  speech: (data) => [
    `${data.party === "caller" ? "The caller" : "The agent"} begins to talk`,
    data.party,
  ],
  TurnGap: (data) => [`The agent answers, ${delay(data.gap_s)} after the caller`, "agent"],
  OverlapStart: () => ["The agent talks over the caller", "trouble"],
  BargeIn: () => ["The caller interrupts the agent", "caller"],
  Yielded: (data) => [`The agent stops talking, ${delay(data.latency_s)} after the interruption`, "agent"],
  MissedBargeIn: () => ["The agent talked on over an interruption", "trouble"],
  Backchannel: () => ["The caller says a short word; the agent goes on", "caller"],
  FalseStop: () => ["The agent stopped although the caller only said a short word", "trouble"],
  transfer: (data) => [`Transferring the caller to ${data.number}`, ""],
  transfer_failed: (data) => [`The transfer failed: ${data.why}`, "trouble"],
  keys: (data) => [
    `An operator pressed ${data.pressed === 1 ? "a key" : `${data.pressed} keys`}`,
    "",
  ],
  call_ended: (data) => [
    `The call ended: ${endOf(data.code ?? data.outcome ?? "")}`,
    data.outcome === "failed" ? "trouble" : "",
  ],
};
