/** The demo page: who can be called, which engine answers, and the widget itself. */

const ENGINES = {
  rehearsal:
    "The rehearsal engine answers: recorded lines, no model. It greets you, waits for its turn and " +
    "stops when you interrupt, so you hear the timing of a call; it does not understand a word.",
  cascade:
    "The cascade engine answers: speech recognition, a scripted dialogue and a synthetic voice, on " +
    "the CPU. It understands what its dialogue foresees.",
  personaplex:
    "PersonaPlex answers: a full-duplex speech model that listens while it speaks. It may be wrong " +
    "about facts; nothing that it says is binding.",
};
const NO_ENGINE = "No engine is connected right now, so calls will be refused.";
const NO_PERSONA = "No persona has a route, so there is nobody to call.";
const NO_GATEWAY = "The gateway does not answer. Is it running? Reload the page to try again.";

const choices = document.getElementById("agents");
const place = document.getElementById("phone");

const answer = await fetch("api/agents").catch(() => null);
const { agents, engines } = answer?.ok ? await answer.json() : { agents: [], engines: [] };
document.getElementById("engine").textContent = answer?.ok ? describe(engines) : NO_GATEWAY;
for (const part of document.querySelectorAll(".desk, footer")) part.hidden = agents.length === 0;
choices.append(...agents.map(choice));
choices.addEventListener("change", (event) => show(event.target.value));
if (agents.length > 0) show(agents[0].persona);

function describe(kinds) {
  if (agents.length === 0) return NO_PERSONA;
  if (kinds.length === 0) return NO_ENGINE;
  const known = kinds.map((kind) => ENGINES[kind] ?? `An engine of the kind “${kind}” answers.`);
  return known.length === 1 ? known[0] : `Which engine takes a call depends on the load. ${known.join(" ")}`;
}

function choice({ persona, title }, index) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name: "persona", value: persona, checked: index === 0 });
  label.append(input, title);
  return label;
}

function show(persona) {
  const agent = agents.find((one) => one.persona === persona);
  const element = document.createElement("personaplex-call");
  element.setAttribute("persona", persona);
  element.setAttribute("name", agent.title);
  element.setAttribute("text-hint", agent.title);
  element.addEventListener("personaplex-call", ({ detail }) => {
    choices.disabled = detail.state === "connecting" || detail.state === "talking";
  });
  place.replaceChildren(element);
  const script = new URL("widget/call.js", location.href).href;
  document.getElementById("tag").textContent =
    `<script type="module" src="${script}"\n        data-persona="${persona}"></` + "script>";
}
