/** One schedule: weekly windows, holidays, days that differ, and forcing it open or closed. */

import { freshId, h } from "../core/dom.js";
import { nameFields } from "../parts/document.js";
import { editorPage } from "../parts/editor_page.js";
import { choice, line, rows } from "../parts/form.js";
import { DAYS, short, week } from "../parts/week.js";
import { card } from "../parts/page.js";

const BLANK = {
  name: "",
  title: "",
  time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  weekly: [{ days: DAYS.slice(0, 5), opens: "09:00", closes: "17:00" }],
  holidays: [],
  overrides: [],
  force: null,
};
const FORCE = [
  ["", "Follow the opening hours"],
  ["open", "Always open"],
  ["closed", "Always closed"],
];

const SCHEDULE = {
  plural: "schedules",
  noun: "schedule",
  title: "Schedules",
  role: "operator",
  blank: BLANK,
  kept: "You can only delete it while no route uses it.",
};

export const view = (place) =>
  editorPage(place, SCHEDULE, (value, fresh) => {
    const picture = week();
    const redraw = () => picture.draw(value.weekly);
    redraw();
    return {
      form: scheduleForm(value, fresh, redraw),
      aside: card("The week", picture.element),
    };
  });

function scheduleForm(value, fresh, onChange) {
  const zones = freshId("zones");
  return h(
    "form",
    { class: "stack", novalidate: true, on: { submit: (event) => event.preventDefault() } },
    card(
      "Schedule",
      h(
        "div",
        { class: "fields pairs" },
        ...nameFields(value, fresh, { title: "Office hours", name: "office_hours" }),
        line(value, "time_zone", "Time zone", {
          pointer: "/time_zone",
          attributes: { list: zones },
        }),
        choice(value, "force", "Now", FORCE, { pointer: "/force" }),
      ),
      h(
        "datalist",
        { id: zones },
        ...Intl.supportedValuesOf("timeZone").map((zone) => h("option", { value: zone })),
      ),
    ),
    card(
      "Every week",
      h(
        "div",
        { data: { pointer: "/weekly" }, class: "field" },
        weekly(value, onChange),
        h("p", { class: "mistake", hidden: true }),
      ),
    ),
    card(
      "Holidays",
      dated(
        value.holidays,
        "holiday",
        "/holidays",
        (one) =>
          line(one, "title", "Title", {
            hideLabel: true,
            shape: "broad",
            attributes: { placeholder: "New Year" },
          }),
        () => ({ day: "", title: "" }),
      ),
    ),
    card(
      "Special days",
      h(
        "p",
        { class: "hint" },
        "These hours replace the week’s hours and holidays. Leave both empty if you are closed.",
      ),
      dated(value.overrides, "day", "/overrides", hours, () => ({ day: "", windows: [] })),
    ),
  );
}

const weekly = (value, onChange) =>
  rows(
    value.weekly,
    (window, index, drop) =>
      h(
        "div",
        { class: "list-row" },
        days(window, onChange),
        clock(window, "opens", "Opens", onChange),
        clock(window, "closes", "Closes", onChange),
        drop,
      ),
    {
      add: "Add hours",
      blank: () => ({ days: [], opens: "09:00", closes: "17:00" }),
      name: "hours",
      onChange,
    },
  );

const clock = (window, key, label, onChange) =>
  line(window, key, label, {
    shape: "slim",
    onChange,
    attributes: { placeholder: "09:00", maxlength: 5, inputmode: "numeric" },
  });

function days(window, onChange) {
  const toggle = (day, on) => {
    window.days = DAYS.filter((one) => (one === day ? on : window.days.includes(one)));
    onChange();
  };
  return h(
    "div",
    { class: "field week-days", role: "group", "aria-label": "Days" },
    h("span", { class: "label" }, "Days"),
    h(
      "div",
      { class: "days" },
      ...DAYS.map((day) => {
        const box = h("input", {
          type: "checkbox",
          checked: window.days.includes(day),
          "aria-label": day,
        });
        box.addEventListener("change", () => toggle(day, box.checked));
        return h("label", {}, box, h("span", {}, short(day)));
      }),
    ),
  );
}

const dated = (items, name, pointer, more, blank) =>
  rows(
    items,
    (one, index, drop) =>
      h(
        "div",
        { class: "list-row", data: { pointer: `${pointer}/${index}` } },
        line(one, "day", `Date of ${name} ${index + 1}`, {
          hideLabel: true,
          pointer: `${pointer}/${index}/day`,
          attributes: { type: "date" },
        }),
        more(one),
        drop,
      ),
    { add: `Add a ${name}`, blank, name },
  );

/** One window of a day that differs; both ends empty mean closed. */
function hours(override) {
  const window = {
    opens: override.windows[0]?.opens ?? "",
    closes: override.windows[0]?.closes ?? "",
  };
  const keep = () => {
    const rest = override.windows.slice(1);
    override.windows = window.opens || window.closes ? [{ ...window }, ...rest] : rest;
  };
  return h(
    "div",
    { class: "row grow" },
    clock(window, "opens", "Opens", keep),
    clock(window, "closes", "Closes", keep),
  );
}
