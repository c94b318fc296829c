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
import { page } from "./parts/page.js";
import { door } from "./pages/login.js";
import { VIEWS } from "./views.js";

const frameNow = { main: null, mark: null };

theme.begin();
hooks.proveAgain = proveAgain;
events.addEventListener("logged-out", () => app.session && knock());
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
  mark(pattern);
  main.setAttribute("aria-busy", "true");
  const element = await view.catch((problem) => trouble(problem));
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
  const title = problem.status === 404 ? "Not found" : "This page could not be loaded";
  return page({ title }, problemNote(problem));
}
