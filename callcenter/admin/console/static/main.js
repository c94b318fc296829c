/** Begins: who is there, then the door or the frame with its views. */

import { events, hooks, whoAmI } from "./core/api.js";
import { app } from "./core/app.js";
import { h, show } from "./core/dom.js";
import { Router } from "./core/router.js";
import * as theme from "./core/theme.js";
import { proveAgain } from "./parts/again.js";
import { problemNote } from "./parts/feedback.js";
import { frame } from "./parts/frame.js";
import { listen } from "./parts/keyboard.js";
import { button, page } from "./parts/page.js";
import { door } from "./pages/login.js";
import { VIEWS } from "./views.js";

const PATIENCE_MS = 150; // what loads faster needs no placeholder
const frameNow = { main: null, mark: null };

theme.begin();
hooks.proveAgain = proveAgain;
events.addEventListener("logged-out", () => app.session && knock());
events.addEventListener("unreachable", () => offline(true));
events.addEventListener("reachable", () => offline(false));
await begin();

async function begin() {
  app.session = await whoAmI();
  if (app.session === null) knock();
  // A try that failed although somebody is logged in: the door says why all the same.
  else if (new URLSearchParams(location.search).has("problem")) knock();
  else enter();
}

function knock() {
  app.session = null;
  app.router?.leave(); // what looks again by itself would be refused again and again
  document.title = "Log in · Contact center";
  show(
    document.body,
    door(async (session) => {
      app.session = session;
      enter();
    }),
  );
  document.querySelector(".door a.primary, .door input")?.focus();
}

function enter() {
  const main = h("main", { class: "main", id: "main" });
  const { element, mark } = frame(main);
  Object.assign(frameNow, { main, mark });
  show(document.body, h("a", { class: "skip", href: "#main" }, "Skip to the content"), element);
  app.router ??= new Router(VIEWS, display);
  listen();
  app.router.start();
}

async function display(view, pattern, place) {
  const { main, mark } = frameNow;
  const title = mark(pattern);
  main.setAttribute("aria-busy", "true");
  const waiting = setTimeout(() => place.isHere() && show(main, skeleton(title)), PATIENCE_MS);
  const element = await view.catch((problem) => trouble(problem));
  clearTimeout(waiting);
  if (!place.isHere() || app.session === null) return;
  main.removeAttribute("aria-busy");
  show(main, element);
  const heading = main.querySelector("h1");
  document.title = `${heading?.textContent ?? "Console"} · Contact center`;
  scrollTo(0, 0);
  heading?.focus({ preventScroll: true });
}

function trouble(problem) {
  if (problem.status === undefined) console.error(problem);
  if (problem.status === 404) return page({ title: "Not found" }, problemNote(problem));
  const again = button("Try again", () => app.router.again(), { tone: "primary" });
  const title = problem.status === 0 ? "You are offline" : "This page could not be loaded";
  return page({ title }, problemNote(problem), h("div", { class: "row" }, again));
}

/** What stands there while a page loads. */
const skeleton = (title) =>
  h(
    "div",
    { class: "view" },
    h("header", { class: "head" }, h("h1", {}, title)),
    h("p", { class: "unseen", role: "status" }, "Loading …"),
    h("div", { class: "skeleton", "aria-hidden": "true" }, h("i"), h("i"), h("i"), h("i")),
  );

/** Pages that look again by themselves go on trying; this says so meanwhile. */
function offline(away) {
  document.querySelector(".offline")?.remove();
  if (!away || app.session === null) return;
  const text = "No connection to the admin app. Trying again …";
  document.body.append(h("p", { class: "offline", role: "status" }, text));
}
