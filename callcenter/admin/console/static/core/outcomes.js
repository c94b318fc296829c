/** How calls end, in words: outcomes, and the reasons behind them. */

import { words } from "./format.js";

export const OUTCOMES = {
  answered: "answered",
  transferred: "transferred",
  abandoned: "abandoned",
  rejected_capacity: "refused, no room",
  rejected: "refused",
  failed: "failed",
};
export const BAD = new Set(["failed", "rejected_capacity", "rejected", "abandoned"]);

const REASONS = {
  hangup: "the caller hung up",
  agent_hangup: "the agent hung up",
  operator_hangup: "hung up from the console",
  max_duration: "the maximum call length was reached",
  transferred: "handed over to another number",
  handoff_to_fallback: "handed over as the carrier or the page says",
  shutdown: "the gateway shut down",
  lost: "the connection was lost",
  connection_lost: "the connection was lost",
  rtp_timeout: "the audio stopped coming",
  start_timeout: "no audio came in time",
  never_connected: "the caller left before the audio began",
  gateway_lost: "the gateway stopped working",
  no_capacity: "all lines were busy",
  limit_reached: "a limit was reached",
  too_many_calls: "the visitor was on a call already",
  draining: "the gateway was restarting",
  broker_unavailable: "Redis did not answer",
  no_route: "no number or route matches",
  not_acceptable: "there was no audio format in common",
  bad_offer: "the browser’s offer could not be used",
  route_reject: "the route refuses these calls",
  route_message: "the route plays a message",
  route_transfer: "the route sends these calls to another number",
};

/** A browser cannot be put through: its visitor was asked to call by telephone. */
export const outcomeOf = ({ outcome, transport, code }) =>
  transport === "webrtc" && code === "handoff_to_fallback"
    ? "asked to call"
    : (OUTCOMES[outcome] ?? words(outcome || "ended"));

/** Why a call ended; a code that has no words yet is shown as it is. */
export const endOf = (code) => REASONS[code] ?? words(code);
