/** Opening hours of a week as seven lanes. */

import { h, show } from "../core/dom.js";

export const DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const DAY_MIN = 1_440;

/** @returns {{element: Node, draw: (weekly: object[]) => void}} */
export function week() {
  const element = h("div", { class: "week" });
  const draw = (weekly) => {
    const spans = spansOf(weekly);
    show(
      element,
      ...DAYS.map((day, index) => [
        h("span", {}, short(day)),
        h(
          "div",
          { class: "lane", role: "img", "aria-label": told(day, weekly) },
          ...spans[index].map(([from, to]) =>
            h("i", { vars: { "--from": from / DAY_MIN, "--share": (to - from) / DAY_MIN } }),
          ),
        ),
      ]),
      h(
        "div",
        { class: "scale" },
        ...["0:00", "6:00", "12:00", "18:00", "24:00"].map((hour) => h("span", {}, hour)),
      ),
    );
  };
  return { element, draw };
}

export const short = (day) => day.charAt(0).toUpperCase() + day.slice(1, 3);

/** Open minutes of each day; a window past midnight goes on the next day. */
export function spansOf(weekly) {
  const spans = DAYS.map(() => []);
  for (const { days, opens, closes } of weekly) {
    const [from, to] = [minutes(opens), minutes(closes)];
    if (from === null || to === null) continue;
    for (const day of days) {
      const index = DAYS.indexOf(day);
      if (to > from) spans[index].push([from, to]);
      else {
        spans[index].push([from, DAY_MIN]);
        if (to > 0) spans[(index + 1) % 7].push([0, to]);
      }
    }
  }
  return spans;
}

function minutes(clock) {
  const [, hours, rest] = /^(\d\d):(\d\d)$/.exec(clock ?? "") ?? [];
  return hours === undefined ? null : Number(hours) * 60 + Number(rest);
}

function told(day, weekly) {
  const windows = weekly
    .filter(({ days }) => days.includes(day))
    .map(({ opens, closes }) => `${opens} to ${closes}`);
  return `${day}: ${windows.length ? windows.join(", ") : "closed"}`;
}
