/** Open sessions: where one is logged in; for admins, where everybody is. Each can be ended. */

import { all, path, remove } from "../core/api.js";
import { app, may } from "../core/app.js";
import { h, show } from "../core/dom.js";
import { ago, exact, moment, plural } from "../core/format.js";
import { sure } from "../parts/dialog.js";
import { toast } from "../parts/feedback.js";
import { check } from "../parts/form.js";
import { tableCard } from "../parts/list_page.js";
import { badge, button, page } from "../parts/page.js";

export async function view(place) {
  const wanted = { everyone: place.query.everyone === "true" && may("admin") };
  const list = h("div", { "aria-live": "polite" });
  const look = async () => {
    app.router.note({ everyone: wanted.everyone ? "true" : "" });
    const found = await all("/v1/sessions", { everyone: wanted.everyone });
    if (place.isHere()) show(list, tableCard("Sessions", columns(look), found, "No other sessions."));
  };
  await look();
  return page(
    {
      title: "Sessions",
      lead: "Where you are logged in. End any session that you do not recognise.",
      actions: [button("End all others", () => endAll(wanted.everyone, look), { tone: "danger" })],
    },
    may("admin") && check(wanted, "everyone", "Everybody’s sessions", { onChange: look }),
    list,
  );
}

const columns = (look) => [
  [
    "Who",
    (session) =>
      h(
        "span",
        { class: "row tight" },
        h("strong", {}, session.owner),
        badge(session.kind),
        session.current && badge("this one", "good"),
      ),
  ],
  ["Role", (session) => badge(session.role, session.role === "admin" ? "accent" : "")],
  ["Browser", (session) => h("span", { title: session.agent }, browserOf(session.agent))],
  ["Address", (session) => h("span", { class: "code small" }, session.address || "–")],
  [
    "Logged in",
    (session) => h("span", { title: exact(session.created_at) }, moment(session.created_at)),
    "one-line",
  ],
  ["Last seen", (session) => ago(session.last_seen_at), "one-line"],
  ["", (session) => endButton(session, look), "to-end"],
];

function endButton(session, look) {
  if (session.current) return null; // that is logging out
  const end = async () => {
    const text = "Its user has to log in again.";
    const title = `End the session of “${session.owner}”?`;
    if (await sure(title, text, "End", () => remove(path`/v1/sessions/${session.id}`))) look();
  };
  return button("End", end, { tone: "small" });
}

async function endAll(everyone, look) {
  const text = everyone
    ? "Everybody but you has to log in again."
    : "You stay logged in here, and nowhere else.";
  const done = await sure("End all other sessions?", text, "End them", () =>
    remove(`/v1/sessions${everyone ? "?everyone=true" : ""}`),
  );
  if (!done) return;
  toast(`${plural(done.ended, "session")} ended.`);
  look();
}

const BROWSERS = [
  ["Edg/", "Edge"],
  ["OPR/", "Opera"],
  ["Firefox/", "Firefox"],
  ["Chrome/", "Chrome"],
  ["Safari/", "Safari"],
];
const SYSTEMS = [
  ["iPhone", "iPhone"],
  ["iPad", "iPad"],
  ["Android", "Android"],
  ["Windows", "Windows"],
  ["Mac OS", "macOS"],
  ["Linux", "Linux"],
];

/** "Firefox, Linux" of what a browser says of itself; the beginning of it where that is unknown. */
export function browserOf(agent) {
  const named = (list) => list.find(([sign]) => agent.includes(sign))?.[1];
  const found = [named(BROWSERS), named(SYSTEMS)].filter(Boolean).join(", ");
  return found || agent.slice(0, 40) || "–";
}
