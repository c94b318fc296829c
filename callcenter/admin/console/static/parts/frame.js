/** The frame round every view: menu, who is logged in, theme. */

import { logOut } from "../core/api.js";
import { app } from "../core/app.js";
import { h, show } from "../core/dom.js";
import * as theme from "../core/theme.js";
import { icon } from "./icons.js";

const REFERENCE = "/docs"; // a page of its own, outside of the console
const MENU = [
  [
    "",
    [
      ["/", "Overview", "overview"],
      ["/calls", "Calls", "calls"],
    ],
  ],
  [
    "Who answers",
    [
      ["/personas", "Personas", "personas"],
      ["/voices", "Voices", "voices"],
      ["/numbers", "Numbers", "numbers"],
      ["/routes", "Routes", "routes"],
      ["/schedules", "Schedules", "schedules"],
    ],
  ],
  [
    "Capacity",
    [
      ["/workers", "Workers", "workers"],
      ["/trunks", "Trunks", "trunks"],
      ["/limits", "Limits", "limits"],
    ],
  ],
  [
    "Access",
    [
      ["/keys", "API keys", "keys"],
      ["/sessions", "Sessions", "sessions"],
      ["/webhooks", "Webhooks", "webhooks"],
      ["/audit", "Audit log", "audit"],
      [REFERENCE, "API reference", "reference"],
    ],
  ],
];

/**
 * @param {HTMLElement} main where views go
 * @returns {{element: Node, mark: (pattern: string) => void}} `mark` shows which entry is current and gives its title
 */
export function frame(main) {
  const menu = h("nav", { class: "menu", "aria-label": "Main" }, ...MENU.map(group));
  const side = h(
    "header",
    { class: "side" },
    h(
      "div",
      {},
      brand(),
      burger(() => side),
      menu,
      who(),
    ),
  );
  return {
    element: h("div", { class: "frame" }, side, main),
    mark: (pattern) => mark(side, pattern),
  };
}

export const brand = () =>
  h(
    "a",
    { class: "brand", href: "/admin" },
    h("img", { src: "/admin/static/icon.svg", alt: "" }),
    "Contact center",
  );

const group = ([title, entries]) =>
  h(
    "div",
    {},
    title && h("h2", {}, title),
    h("ul", {}, ...entries.map(([href, label, image]) => h("li", {}, entry(href, label, image)))),
  );

const entry = (href, label, image) =>
  h("a", { href: addressOf(href) }, icon(image), label);

const addressOf = (href) =>
  href === REFERENCE ? href : `/admin${href === "/" ? "" : href}`;

function mark(side, pattern) {
  const section = `/admin${pattern === "/" ? "" : `/${pattern.split("/")[1]}`}`;
  for (const link of side.querySelectorAll(".menu a")) {
    if (link.getAttribute("href") === section) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  delete side.dataset.open;
  side.querySelector(".burger").setAttribute("aria-expanded", "false");
  return side.querySelector(".menu [aria-current]")?.textContent ?? "Contact center";
}

function burger(side) {
  const toggle = () => {
    const open = side().toggleAttribute("data-open");
    control.setAttribute("aria-expanded", String(open));
  };
  const control = h(
    "button",
    {
      class: "button plain only-icon burger",
      type: "button",
      "aria-label": "Menu",
      "aria-expanded": "false",
      on: { click: toggle },
    },
    icon("menu"),
  );
  return control;
}

function who() {
  const { name, role } = app.session;
  return h(
    "div",
    { class: "who" },
    h("p", { title: `${name}, ${role}` }, name, h("small", {}, role)),
    themeButton(),
    h(
      "button",
      {
        class: "button plain only-icon",
        type: "button",
        title: "Log out",
        "aria-label": "Log out",
        on: { click: leave },
      },
      icon("leave"),
    ),
  );
}

function themeButton() {
  const control = h("button", {
    class: "button plain only-icon",
    type: "button",
    on: { click: () => name(theme.turn()) },
  });
  const name = (current) => {
    const label = `Theme: ${current}`;
    control.title = label;
    control.setAttribute("aria-label", label);
    show(control, icon(current));
  };
  name(theme.current());
  return control;
}

async function leave() {
  const onwards = app.session.log_out_url ?? "/admin"; // the provider's session ends there
  await logOut().catch(() => {}); // the session may be over already
  location.assign(onwards);
}
