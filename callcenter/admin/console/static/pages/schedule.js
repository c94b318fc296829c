/** One schedule: weekly windows, holidays, days that differ, and forcing it open or closed. */

import { change, getTagged, path, post, remove } from "../core/api.js";
import { go, may } from "../core/app.js";
import { freshId, h, show } from "../core/dom.js";
import { patchOf } from "../core/patch.js";
import { bare } from "../parts/document.js";
import { sure } from "../parts/dialog.js";
import { problemNote, toast } from "../parts/feedback.js";
import { choice, line, place as placeMistakes, rows } from "../parts/form.js";
import { DAYS, short, week } from "../parts/week.js";
import { button, page } from "../parts/page.js";

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
  ["", "By the clock"],
  ["open", "Open, whatever the clock says"],
  ["closed", "Closed, whatever the clock says"],
];

export async function view(place) {
  const fresh = place.parts.name === "new";
  const address = path`/v1/schedules/${place.parts.name}`;
  const stored = fresh ? { value: BLANK, tag: null } : await getTagged(address);
  const before = fresh ? BLANK : bare(stored.value);
  const value = structuredClone(before);
  const [picture, trouble] = [week(), h("div", { hidden: true })];
  const redraw = () => picture.draw(value.weekly);
  const form = scheduleForm(value, fresh, redraw);
  redraw();

  const save = async () => {
    trouble.hidden = true;
    try {
      if (fresh) await post("/v1/schedules", value);
      else await change("PATCH", address, patchOf(before, value), stored.tag);
      toast("The schedule is saved.");
      go(`/schedules/${encodeURIComponent(value.name)}`, { replace: true });
    } catch (problem) {
      if (problem.status === undefined) throw problem;
      const rest = placeMistakes(form, problem);
      trouble.hidden = rest === null;
      if (rest) show(trouble, problemNote(rest));
    }
  };
  const saveButton = button("Save", save, { tone: "primary", disabled: !may("operator") });
  saveButton.dataset.key = "save";
  const drop = async () => {
    const gone = await sure(
      "Delete this schedule?",
      "It is refused while a route asks it.",
      "Delete",
      () => remove(address, stored.tag),
    );
    if (gone) go("/schedules");
  };
  return page(
    {
      title: fresh ? "New schedule" : before.title,
      lead: fresh ? null : h("span", { class: "code small" }, before.name),
      back: ["/schedules", "Schedules"],
      actions: [
        !fresh && button("Delete", drop, { tone: "plain", disabled: !may("operator") }),
        saveButton,
      ].filter(Boolean),
    },
    trouble,
    h(
      "div",
      { class: "columns" },
      form,
      h(
        "div",
        { class: "stack" },
        h("section", { class: "card" }, h("h2", {}, "The week"), picture.element),
      ),
    ),
  );
}

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
        line(value, "title", "Title", { pointer: "/title", attributes: { maxlength: 120 } }),
        line(value, "name", "Name", {
          pointer: "/name",
          attributes: {
            disabled: !fresh,
            maxlength: 40,
            spellcheck: "false",
            placeholder: "office_hours",
          },
        }),
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
      "Days that differ",
      h(
        "p",
        { class: "hint" },
        "These hours count instead of the week’s and of holidays. Leave both empty for closed.",
      ),
      dated(value.overrides, "day", "/overrides", hours, () => ({ day: "", windows: [] })),
    ),
  );
}

const card = (title, ...fields) => h("section", { class: "card" }, h("h2", {}, title), ...fields);

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
    { class: "field broad", role: "group", "aria-label": "Days" },
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
