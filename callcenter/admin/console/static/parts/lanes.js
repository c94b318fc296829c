/** Who talked when: two lanes over a call's time. Pure sums first, then what is seen. */

import { h, show } from "../core/dom.js";
import { length } from "../core/format.js";

const WINDOW_S = 60; // of a live call
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600];
const MOST_TICKS = 6;
const LABEL_FITS = 0.94; // of the width: a moment behind it would be cut off
const PARTIES = ["caller", "agent"];

/**
 * Stretches of speech from events, in seconds since the call began.
 *
 * @param {{kind: string, at: string, data: object}[]} events in order
 * @param {number} begin_ms
 * @returns {{caller: number[][], agent: number[][], barge_ins: number[]}} an open stretch ends at
 *   Infinity
 */
export function stretches(events, begin_ms) {
  const found = { caller: [], agent: [], barge_ins: [] };
  for (const event of events) {
    const { kind, data } = event;
    const at_s = heldAt(event, begin_ms);
    if (kind === "turn" && data.kind === "BargeIn") found.barge_ins.push(at_s);
    if (kind === "call_ended") PARTIES.forEach((party) => close(found[party], at_s));
    if (kind !== "speech" || !PARTIES.includes(data.party)) continue;
    if (data.speaking) open(found[data.party], at_s);
    else close(found[data.party], at_s);
  }
  return found;
}

/** When it happened, in seconds since the call began; speech is noticed a moment later. */
export const heldAt = ({ at, data }, begin_ms) =>
  Math.max(0, (new Date(at).getTime() - begin_ms) / 1_000 - (data.ago_s ?? 0));

function open(lane, at_s) {
  if (lane.at(-1)?.[1] !== Infinity) lane.push([at_s, Infinity]);
}

function close(lane, at_s) {
  if (lane.at(-1)?.[1] === Infinity) lane.at(-1)[1] = at_s;
}

/** Seconds that a lane is filled, up to now. */
export const talked_s = (lane, now_s) =>
  lane.reduce((sum, [from, to]) => sum + Math.max(0, Math.min(to, now_s) - from), 0);

/** Round moments of a stretch of time, few enough to be read. */
export function ticks(from_s, span_s) {
  const step = STEPS_S.find((one) => span_s / one <= MOST_TICKS) ?? STEPS_S.at(-1);
  const first = Math.ceil(from_s / step);
  const number = Math.floor((from_s + span_s * LABEL_FITS) / step) - first + 1;
  return Array.from({ length: number }, (_, index) => (first + index) * step);
}

/** Draws the lanes: the last minute of a live call, or the whole of one that has ended. */
export function lanes() {
  const tracks = Object.fromEntries(
    PARTIES.map((party) => [party, h("div", { class: "lane", data: { party }, role: "img" })]),
  );
  const scale = h("div", { class: "ticks", "aria-hidden": "true" });
  const element = h(
    "div",
    { class: "lanes" },
    h("span", { class: "label" }, "Caller"),
    tracks.caller,
    h("span", { class: "label" }, "Agent"),
    tracks.agent,
    scale,
  );

  const draw = (found, now_s, live) => {
    const from_s = live ? Math.max(0, now_s - WINDOW_S) : 0;
    const span_s = live ? WINDOW_S : Math.max(now_s, 1);
    for (const party of PARTIES) {
      const marks =
        party === "caller" ? found.barge_ins.map((at_s) => pin(at_s, from_s, span_s)) : [];
      show(tracks[party], ...found[party].map((one) => bar(one, now_s, from_s, span_s)), ...marks);
      tracks[party].setAttribute(
        "aria-label",
        `${party} talked for ${length(talked_s(found[party], now_s))}`,
      );
    }
    show(
      scale,
      ...ticks(from_s, span_s).map((at_s) =>
        h("span", { vars: { "--from": (at_s - from_s) / span_s } }, length(at_s)),
      ),
    );
  };
  return { element, draw };
}

function bar([start_s, stop_s], now_s, from_s, span_s) {
  const [left, right] = [Math.max(start_s, from_s), Math.min(stop_s, now_s, from_s + span_s)];
  if (right <= left) return null;
  return h("i", {
    vars: { "--from": (left - from_s) / span_s, "--share": (right - left) / span_s },
  });
}

function pin(at_s, from_s, span_s) {
  return at_s < from_s
    ? null
    : h("b", { vars: { "--from": (at_s - from_s) / span_s }, title: "barge-in" });
}
