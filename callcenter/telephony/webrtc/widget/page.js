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
const NOBODY = "No engine is connected right now, so calls will be refused.";

const choices = document.getElementById("agents");
const place = document.getElementById("phone");

const { agents, engines } = await (await fetch("api/agents")).json();
document.getElementById("engine").textContent = describe(engines);
choices.append(...agents.map(choice));
choices.addEventListener("change", (event) => show(event.target.value));
if (agents.length > 0) show(agents[0].persona);

function describe(kinds) {
  if (kinds.length === 0) return NOBODY;
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
