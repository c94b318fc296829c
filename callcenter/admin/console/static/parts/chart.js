/** Small charts over time, drawn as SVG; each one is a table, too, for those who do not see it. */

import { h, s } from "../core/dom.js";
import { moment } from "../core/format.js";

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [600, 150, 44, 20];

/**
 * @param {string} title
 * @param {{since: string}[]} points
 * @param {{value: (point: any) => number|null, bad?: (point: any) => number, format: Function,
 *          bars?: boolean, lead?: string}} how
 */
export function chart(title, points, { value, bad = () => 0, format, bars = false, lead = "" }) {
  const values = points.map(value);
  const known = values.filter((one) => one !== null);
  const top = niceTop(Math.max(0, ...known));
  const x = (index) => LEFT + ((index + 0.5) * (WIDTH - LEFT)) / points.length;
  const y = (one) => HEIGHT - BOTTOM - (one / top) * (HEIGHT - BOTTOM - 8);
  const draw = bars ? barMarks : lineMarks;
  return h(
    "figure",
    { class: "card chart" },
    h("figcaption", {}, h("h2", {}, title), h("span", { class: "faint small" }, lead)),
    known.length === 0
      ? h("p", { class: "empty" }, "Nothing in this time.")
      : s(
          "svg",
          { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" },
          grid(top, y, format),
          times(points, x),
          draw({ points, values, bad, x, y, format }),
        ),
    dataTable(title, points, values, format),
  );
}

/** The next round number: 1, 2 or 5 times a power of ten. */
export function niceTop(most) {
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].find((step) => step * power >= most * 0.999) * power;
}

const grid = (top, y, format) =>
  [0, top / 2, top].map((one) => [
    s("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: y(one), y2: y(one) }),
    s("text", { class: "axis", x: LEFT - 8, y: y(one) + 4, "text-anchor": "end" }, format(one)),
  ]);

const times = (points, x) =>
  points
    .map((point, index) => [point, index])
    .filter(([, index]) => index % 6 === 0)
    .map(([point, index]) =>
      s(
        "text",
        { class: "axis", x: x(index), y: HEIGHT - 3, "text-anchor": "middle" },
        hour(point.since),
      ),
    );

const hour = (text) =>
  new Date(text).toLocaleTimeString(undefined, {
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });

function barMarks({ points, values, bad, x, y, format }) {
  const width = ((WIDTH - LEFT) / points.length) * 0.62;
  const bar = (index, most, shape) =>
    s("rect", {
      class: `bar ${shape}`,
      x: x(index) - width / 2,
      width,
      y: y(most),
      height: Math.max(0, y(0) - y(most)),
      rx: 3,
    });
  return points.map((point, index) =>
    s(
      "g",
      {},
      s("title", {}, `${moment(point.since)}: ${format(values[index] ?? 0)}`),
      bar(index, values[index] ?? 0, ""),
      bad(point) > 0 && bar(index, bad(point), "bad"),
    ),
  );
}

function lineMarks({ points, values, x, y, format }) {
  const stretches = [[]];
  for (const [index, one] of values.entries()) {
    if (one === null) stretches.push([]);
    else stretches.at(-1).push(`${x(index)},${y(one)}`);
  }
  const lines = stretches
    .filter((stretch) => stretch.length > 1)
    .map((stretch) => s("polyline", { class: "line", points: stretch.join(" ") }));
  const dots = points.map((point, index) =>
    values[index] === null
      ? null
      : s(
          "circle",
          { class: "dot", cx: x(index), cy: y(values[index]), r: 3 },
          s("title", {}, `${moment(point.since)}: ${format(values[index])}`),
        ),
  );
  return [lines, dots];
}

function dataTable(title, points, values, format) {
  const rows = points
    .map((point, index) => [point, values[index]])
    .filter(([, one]) => one !== null && one !== 0)
    .map(([point, one]) =>
      h("tr", {}, h("th", { scope: "row" }, moment(point.since)), h("td", {}, format(one))),
    );
  return h("table", { class: "unseen" }, h("caption", {}, title), h("tbody", {}, ...rows));
}
