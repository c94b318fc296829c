/**
 * <personaplex-call persona="bank" name="Retail bank"> - a call button that opens into a small telephone.
 *
 * Attributes: `persona`; `name` (who is called); `phone` (the number to call after a handoff); `gateway` (its address, when not the script's);
 * `theme` ("light" or "dark", else the system's); `position="corner"`; `text-...` (see texts.js).
 * Event: "personaplex-call", detail { state, code }. Styling: --call-accent, --call-radius.
 */

import { Captions } from "./captions.js";
import { Meters } from "./meter.js";
import { Phone } from "./phone.js";
import { disclosed, isFinal, reason, textsOf } from "./texts.js";

const STYLE = new URL("style.css", import.meta.url).href;

const ICONS = {
  call: "M6.6 10.8a15 15 0 0 0 6.6 6.6l2.2-2.2a1 1 0 0 1 1-.24 11.4 11.4 0 0 0 3.6.57 1 1 0 0 1 1 1V20a1 1 0 0 1-1 1A17 17 0 0 1 3 4a1 1 0 0 1 1-1h3.5a1 1 0 0 1 1 1 11.4 11.4 0 0 0 .57 3.6 1 1 0 0 1-.25 1z",
  microphone:
    "M12 14.5a3 3 0 0 0 3-3v-6a3 3 0 0 0-6 0v6a3 3 0 0 0 3 3Zm5.2-3a5.2 5.2 0 0 1-10.4 0H5.2a6.9 6.9 0 0 0 6 6.7v2.8h1.6v-2.8a6.9 6.9 0 0 0 6-6.7Z",
  silent:
    "M15 11.2V5.5a3 3 0 0 0-5.9-.7zM4.4 3.3 3.3 4.4 9 10.1v1.4a3 3 0 0 0 4.2 2.8l1.3 1.3A5.2 5.2 0 0 1 6.8 11.5H5.2a6.9 6.9 0 0 0 6 6.7v2.8h1.6v-2.8a6.8 6.8 0 0 0 2.9-1.2l3.9 3.9 1.1-1.1zM18.8 11.5h-1.6c0 .6-.1 1.2-.3 1.7l1.2 1.2c.4-.9.7-1.9.7-2.9Z",
};

const icon = (name) => `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${ICONS[name]}"/></svg>`;

// Pages with the policy `require-trusted-types-for 'script'` take markup from named sources only.
const trusted = globalThis.trustedTypes?.createPolicy("personaplex-call", {
  createHTML: (markup) => markup,
});
const asMarkup = (text) => trusted?.createHTML(text) ?? text;

const KEYS = [..."123456789*0#"]
  .map((key) => `<button class="quiet" data-key="${key}">${key}</button>`)
  .join("");

const MARKUP = `
  <button class="open" part="button" data-do="call">
    <span class="badge">${icon("call")}</span>
    <span class="words"><span data-text="call"></span><small data-text="hint"></small></span>
  </button>
  <section class="phone" part="phone" aria-labelledby="name" hidden>
    <header>
      <span class="badge">${icon("call")}</span>
      <div class="words">
        <strong class="name" id="name"></strong>
        <span class="status" role="status"></span>
      </div>
      <time class="clock" aria-hidden="true"></time>
    </header>
    <p class="disclosure" data-text="disclosure"></p>
    <p class="reason" role="alert" hidden></p>
    <a class="wide tel" hidden></a>
    <div class="meters" aria-hidden="true">
      <span data-text="agent"></span><div class="meter" data-side="agent"><i></i></div>
      <span data-text="you"></span><div class="meter" data-side="you"><i></i></div>
    </div>
    <div class="captions" role="log" aria-live="off" tabindex="0"></div>
    <div class="keys" role="group" hidden>${KEYS}</div>
    <button class="wide" data-do="unblock" data-text="unblock" hidden></button>
    <footer>
      <button class="quiet" data-do="mute" aria-pressed="false">
        <span class="glyph on">${icon("microphone")}</span>
        <span class="glyph off">${icon("silent")}</span><span class="label"></span>
      </button>
      <button class="quiet" data-do="keypad" data-text="keypad" aria-expanded="false"></button>
      <button class="danger" data-do="hang_up">
        <span class="glyph turned">${icon("call")}</span><span data-text="hang_up"></span>
      </button>
      <button class="primary" data-do="again" hidden>
        <span class="glyph">${icon("call")}</span><span class="label"></span>
      </button>
      <button class="quiet" data-do="close" data-text="close" hidden></button>
    </footer>
  </section>`;

export class PersonaPlexCall extends HTMLElement {
  static gateway = "";

  #phone = null;
  #meters = new Meters();
  #captions;
  #ownTexts = {};
  #texts = {};
  #title = "";
  #startedAt = 0;
  #clock = null;
  #muted = false;
  #number = "";
  #leave = () => this.#phone?.hangUp();

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.innerHTML = asMarkup(`<link rel="stylesheet" href="${STYLE}">${MARKUP}`);
    root.addEventListener("click", (event) => this.#onClick(event));
    this.#captions = new Captions(this.#find(".captions"));
  }

  connectedCallback() {
    addEventListener("pagehide", this.#leave);
    const setBeforeTheScriptCame = Object.hasOwn(this, "texts") ? this.texts : this.#ownTexts;
    delete this.texts;
    this.texts = setBeforeTheScriptCame;
    this.#show("idle");
  }

  disconnectedCallback() {
    removeEventListener("pagehide", this.#leave);
    this.#leave();
    this.#phone = null;
  }

  /** "idle", "connecting", "talking", "ended" or "failed". */
  get state() {
    return this.getAttribute("state");
  }

  /** Texts that differ from the defaults and from the attributes. */
  set texts(own) {
    this.#ownTexts = own;
    this.#texts = disclosed({ ...textsOf(this), ...own });
    for (const place of this.shadowRoot.querySelectorAll("[data-text]")) {
      place.textContent = this.#texts[place.dataset.text];
    }
    this.#find(".captions").setAttribute("aria-label", this.#texts.captions);
    this.#find(".keys").setAttribute("aria-label", this.#texts.keypad);
    this.#find(".captions").dataset.hint = this.#texts.caption_hint;
    this.#showName();
    this.#showMuted();
  }

  /** Places the call, as a click on the button does. */
  async call() {
    if (this.state === "connecting" || this.state === "talking") return;
    const phone = new Phone(this.getAttribute("gateway") ?? PersonaPlexCall.gateway);
    this.#phone = phone;
    this.#muted = false;
    this.#showMuted();
    this.#captions.clear();
    phone.addEventListener("state", ({ detail }) => this.#onState(phone, detail));
    phone.addEventListener("caption", ({ detail }) => this.#captions.add(detail.text));
    phone.addEventListener("agent", ({ detail }) => {
      this.#showName(detail.title);
      this.#number = detail.phone;
    });
    phone.addEventListener("microphone", () => this.#say("connecting"));
    phone.addEventListener("weak", ({ detail }) => this.#follow(detail.weak));
    phone.addEventListener("blocked", () => this.#askForClick());
    await phone.start(this.getAttribute("persona"));
  }

  hangUp() {
    this.#phone?.hangUp();
  }

  #onClick(event) {
    const key = event.target.closest("[data-key]")?.dataset.key;
    if (key) this.#phone?.press(key);
    const wish = event.target.closest("[data-do]")?.dataset.do;
    if (wish === "call" || wish === "again") this.call();
    if (wish === "hang_up") this.hangUp();
    if (wish === "keypad") this.#showKeys(this.#find(".keys").hidden);
    if (wish === "mute") this.#mute(!this.#muted);
    if (wish === "unblock") this.#phone.unblock().then(() => this.#toggle("unblock", false));
    if (wish === "close") this.#show("idle");
  }

  #onState(phone, { state, code }) {
    if (phone !== this.#phone) return;
    if (state === "talking" && this.state === "talking") return;
    this.#show(state, code);
    if (state === "talking") this.#begin(phone);
    else this.#pause();
    if (state === "ended" || state === "failed") this.#finish();
    this.dispatchEvent(
      new CustomEvent("personaplex-call", { bubbles: true, detail: { state, code } }),
    );
  }

  #begin(phone) {
    this.#follow(false);
    this.#startedAt = Date.now();
    this.#clock = setInterval(() => this.#showClock(), 500);
    this.#showClock();
    this.#meters.start([
      { stream: phone.voice, show: (level) => this.#showLevel("agent", level) },
      { stream: phone.microphone, show: (level) => this.#showLevel("you", level) },
    ]);
  }

  /** Nobody talks: not yet, not any more, or until a fresh call is up. */
  #pause() {
    clearInterval(this.#clock);
    this.#meters.stop();
    this.#showLevel("agent", 0);
    this.#showLevel("you", 0);
  }

  #finish() {
    this.#toggle("unblock", false);
    this.#phone = null;
  }

  #mute(muted) {
    this.#muted = muted;
    this.#phone?.mute(muted);
    this.#showMuted();
    if (this.state === "talking") this.#follow(false);
  }

  /** The browser plays no sound before one. */
  #askForClick() {
    this.#toggle("unblock", true);
    this.#scrollIntoView();
  }

  #follow(weak) {
    this.#say(weak ? "weak" : this.#muted ? "muted" : "talking");
  }

  // --- what is seen ------------------------------------------------------------------------------

  #show(state, code = "") {
    const hadFocus = this.shadowRoot.activeElement !== null;
    const live = state === "connecting" || state === "talking";
    const over = state === "ended" || state === "failed";
    this.setAttribute("state", state);
    this.#find(".open").hidden = state !== "idle";
    this.#find(".phone").hidden = state === "idle";
    this.#toggle("mute", live);
    this.#toggle("keypad", state === "talking");
    if (state !== "talking") this.#showKeys(false);
    this.#showNumber(code);
    this.#toggle("hang_up", live);
    this.#toggle("again", over && !isFinal(code));
    this.#toggle("close", over);
    this.#find("[data-do=again] .label").textContent =
      this.#texts[state === "failed" ? "retry" : "again"];
    const why = this.#find(".reason");
    why.hidden = !over;
    why.textContent = over ? reason(this.#texts, code) : "";
    this.#say(state === "connecting" ? "microphone" : state);
    if (state === "connecting") {
      this.#find(".clock").textContent = "";
      this.#scrollIntoView();
    }
    if (hadFocus) this.#focusOn(state === "idle" ? "call" : live ? "hang_up" : "again");
  }

  #showKeys(visible) {
    this.#find(".keys").hidden = !visible;
    this.#find("[data-do=keypad]").setAttribute("aria-expanded", String(visible));
  }

  /** A browser cannot be put through: the visitor is shown the number to call. */
  #showNumber(code) {
    const [place, number] = [this.#find(".tel"), this.getAttribute("phone") ?? this.#number];
    place.hidden = !number || code !== "handoff_to_fallback";
    if (place.hidden) return;
    place.href = `tel:${number.replace(/[^+0-9]/g, "")}`;
    place.textContent = this.#texts.phone.replace("{phone}", number);
  }

  /** The button that had the focus may be gone: a keyboard goes on where it makes sense. */
  #focusOn(wish) {
    const button = this.#find(`[data-do=${wish}]`);
    (button.hidden ? this.#find("[data-do=close]") : button).focus();
  }

  #say(state) {
    this.#find(".status").textContent = this.#texts[state] ?? "";
  }

  #showName(title = this.#title) {
    this.#title = title;
    this.#find(".name").textContent = this.getAttribute("name") ?? (title || this.#texts.agent);
  }

  #showMuted() {
    const button = this.#find("[data-do=mute]");
    button.setAttribute("aria-pressed", String(this.#muted));
    button.querySelector(".label").textContent = this.#texts[this.#muted ? "unmute" : "mute"];
    this.toggleAttribute("muted", this.#muted);
  }

  #showClock() {
    const seconds = Math.floor((Date.now() - this.#startedAt) / 1000);
    const two = (n) => String(n).padStart(2, "0");
    this.#find(".clock").textContent = `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}`;
  }

  #showLevel(side, level) {
    this.#find(`[data-side=${side}] i`).style.setProperty("--level", level.toFixed(3));
  }

  #scrollIntoView() {
    this.#find(".phone").scrollIntoView({ block: "nearest" });
  }

  #toggle(wish, visible) {
    this.#find(`[data-do=${wish}]:not(.open)`).hidden = !visible;
  }

  #find(selector) {
    return this.shadowRoot.querySelector(selector);
  }
}
