/**
 * Every text that a visitor sees or hears read. A page changes them by
 * `element.texts = { call: "Sprich mit uns" }`, or by attributes: text-call="...".
 * Reasons are named by their code: `reason_no_capacity`, as attribute text-reason-no-capacity.
 */

export const TEXTS = {
  call: "Talk to us",
  hint: "Voice call in your browser",
  disclosure: "You are talking to an AI agent",
  agent: "Agent",
  you: "You",
  connecting: "Connecting …",
  microphone: "Please allow the microphone",
  talking: "On the line",
  weak: "Weak connection …",
  ended: "Call ended",
  failed: "Call failed",
  mute: "Mute",
  unmute: "Unmute",
  muted: "Your microphone is off",
  hang_up: "Hang up",
  keypad: "Keypad",
  again: "Call again",
  retry: "Try again",
  unblock: "Turn sound on",
  captions: "What the agent says",
  caption_hint: "Say hello. What the agent says appears here.",
  close: "Close",

  reason_agent_hangup: "The agent has ended the call. Goodbye!",
  reason_operator_hangup: "We have ended the call. Goodbye!",
  reason_hangup: "You have hung up. Goodbye!",
  reason_max_duration: "This call reached its maximum length. You are welcome to call again.",
  reason_handoff_to_fallback: "A colleague will help you on the phone. Please call us.",
  phone: "Call {phone}",
  reason_microphone_blocked:
    "The microphone is blocked for this page. Allow it in the address bar, then try again.",
  reason_microphone_missing: "No microphone was found. Plug one in, then try again.",
  reason_microphone_busy: "The microphone cannot be used: another program may be holding it.",
  reason_microphone_lost: "The microphone was unplugged or switched off.",
  reason_insecure_page: "Calls need a secure page: its address must begin with https://.",
  reason_origin_refused: "Calls cannot be placed from this page. Please use our own website.",
  reason_token_expired: "That took too long. Please try again.",
  reason_token_used: "This call has already been made. Please try again.",
  reason_token_unchecked: "Our telephone system does not answer. Please try again later.",
  reason_unauthorized: "The line could not be opened. Please reload the page and try again.",
  reason_unknown_persona: "This agent is not available. Please contact us in another way.",
  reason_no_capacity: "All our lines are busy right now. Please try again in a minute.",
  reason_limit_reached: "All our lines are busy right now. Please try again in a minute.",
  reason_draining: "We are just restarting. Please try again in a minute.",
  reason_shutdown: "We had to restart, and your call was cut. Please call again.",
  reason_cancelled: "We had to restart, and your call was cut. Please call again.",
  reason_too_many_calls: "You are on a call already, perhaps in another tab.",
  reason_too_many_requests: "Too many calls in a short time. Please wait a minute.",
  reason_service_unavailable: "Our telephone system does not answer. Please try again later.",
  reason_unreachable: "We cannot be reached. Are you online?",
  reason_no_connection: "Your network blocks the call. Please try another network.",
  reason_start_timeout: "Your network blocks the call. Please try another network.",
  reason_connection_lost: "The connection was lost.",
  reason_ice_restart_unsupported: "The network has changed. Please call again.",
  reason_lost: "The connection was lost.",
  reason_other: "Something went wrong on our side. Please try again.",
};

/** The text for an end code; never empty. */
export function reason(texts, code) {
  return texts[`reason_${code}`] ?? texts.reason_other;
}

const FINAL = new Set(["origin_refused", "insecure_page", "unknown_persona"]);

/** Whether another attempt would end the same way. */
export function isFinal(code) {
  return FINAL.has(code);
}

/** The texts of an element: the defaults, then its text-... attributes. */
export function textsOf(element) {
  const texts = { ...TEXTS };
  for (const { name, value } of element.attributes) {
    if (name.startsWith("text-")) texts[name.slice("text-".length).replaceAll("-", "_")] = value;
  }
  return texts;
}

/** Visitors are always told that no person speaks: a page may change the words, not empty them. */
export const disclosed = (texts) =>
  texts.disclosure?.trim() ? texts : { ...texts, disclosure: TEXTS.disclosure };
