/** Schedules: opening hours that routes ask about. */

import { all } from "../core/api.js";
import { go } from "../core/app.js";
import { h } from "../core/dom.js";
import { plural } from "../core/format.js";
import { week } from "../parts/week.js";
import { listPage } from "../parts/list_page.js";
import { badge, empty, link } from "../parts/page.js";

export async function view() {
  const schedules = await all("/v1/schedules");
  return listPage(
    {
      title: "Schedules",
      lead: "Opening hours and holidays. Routes use them to choose who answers.",
      add: { label: "New schedule", click: () => go("/schedules/new"), role: "operator" },
    },
    schedules.length === 0
      ? h(
          "section",
          { class: "card" },
          empty("No schedules yet. Without one, routes apply around the clock."),
        )
      : h("div", { class: "charts" }, ...schedules.map(card)),
  );
}

function card(schedule) {
  const picture = week();
  picture.draw(schedule.weekly);
  const { holidays, overrides, force, time_zone } = schedule;
  return h(
    "article",
    { class: "card" },
    h(
      "div",
      { class: "row apart" },
      h("h2", {}, link(`/schedules/${encodeURIComponent(schedule.name)}`, schedule.title)),
      force && badge(`forced ${force}`, force === "open" ? "good" : "warning"),
    ),
    picture.element,
    h(
      "p",
      { class: "small faint" },
      [time_zone, plural(holidays.length, "holiday"), plural(overrides.length, "special day")].join(
        " · ",
      ),
    ),
  );
}
