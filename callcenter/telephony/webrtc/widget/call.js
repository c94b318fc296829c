/**
 * The widget's one script tag:
 *
 *   <script type="module" src="https://voice.example.com/widget/call.js" data-persona="bank"></script>
 *
 * puts a call button where the tag stands. Every `data-...` attribute becomes an attribute of the
 * element; pages that build themselves may write <personaplex-call persona="bank"> instead.
 */

import { PersonaPlexCall } from "./element.js";

const OWN_ADDRESS = new URL(import.meta.url);

PersonaPlexCall.gateway = new URL("..", OWN_ADDRESS).href;
if (!customElements.get("personaplex-call")) {
  customElements.define("personaplex-call", PersonaPlexCall);
}

for (const script of document.querySelectorAll("script[type=module][data-persona]")) {
  if (new URL(script.src, document.baseURI).href === OWN_ADDRESS.href) placeButton(script);
}

function placeButton(script) {
  const element = document.createElement("personaplex-call");
  for (const { name, value } of script.attributes) {
    if (name.startsWith("data-")) element.setAttribute(name.slice("data-".length), value);
  }
  script.after(element);
}
