/** Small charts over time, drawn as SVG; each one is a table, too, for those who do not see it. */

import { h, s, show } from "../core/dom.js";
import { moment } from "../core/format.js";

const [HEIGHT, LEFT, BOTTOM, TOP] = [150, 52, 22, 8];
const LABEL_WIDTH = 64; // room that a time needs below the axis
const USUAL_WIDTH = 480; // until the page has told how wide it is

/**
 * @param {string} title
 * @param {{since: string}[]} points
 * @param {{value: (point: any) => number|null, bad?: (point: any) => number, format: Function,
 *          bars?: boolean, lead?: string, nothing?: string}} how
 */
export function chart(title, points, how) {
  const { value, format, lead = "", bars = false, nothing = "Nothing in this period." } = how;
  const values = points.map(value);
  const there = values.some((one) => (bars ? one > 0 : one !== null));
  return h(
    "figure",
    { class: "card chart" },
    h("figcaption", {}, h("h2", {}, title), h("span", { class: "faint small" }, lead)),
    there
      ? sized((width) => picture(width, points, values, how))
      : h("p", { class: "nothing" }, nothing),
    dataTable(title, points, values, format),
  );
}

/** A box that is drawn anew when its width changes, so that its text stays as large as it is. */
function sized(draw) {
  const box = h("div", { class: "picture" }, draw(USUAL_WIDTH));
  let width = USUAL_WIDTH;
  new ResizeObserver(([{ contentRect }]) => {
    const now = Math.round(contentRect.width);
    if (now > LEFT && now !== width) show(box, draw((width = now)));
  }).observe(box);
  return box;
}

function picture(width, points, values, { bad = () => 0, format, bars = false }) {
  const top = niceTop(Math.max(0, ...values.filter((one) => one !== null)));
  const x = (index) => LEFT + ((index + 0.5) * (width - LEFT)) / points.length;
  const y = (one) => HEIGHT - BOTTOM - (one / top) * (HEIGHT - BOTTOM - TOP);
  const step = ((width - LEFT) / points.length) * 0.62;
  const draw = bars ? barMarks : lineMarks;
  return s(
    "svg",
    { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, "aria-hidden": "true" },
    grid(top, y, format, width),
    times(points, x, width),
    draw({ points, values, bad, x, y, format, width: step }),
  );
}

/** The next round number: 1, 2 or 5 times a power of ten. */
export function niceTop(most) {
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].find((step) => step * power >= most * 0.999) * power;
}

const grid = (top, y, format, width) =>
  [0, top / 2, top].map((one) => [
    s("line", { class: "grid", x1: LEFT, x2: width, y1: y(one), y2: y(one) }),
    s("text", { class: "axis", x: LEFT - 10, y: y(one) + 4, "text-anchor": "end" }, format(one)),
  ]);

/** Times below the axis: as many as have room, a whole number of points apart. */
function times(points, x, width) {
  const apart = Math.ceil((points.length * LABEL_WIDTH) / (width - LEFT));
  const every = [1, 2, 3, 4, 6, 8, 12, 24].find((step) => step >= apart) ?? points.length;
  const over_days =
    new Date(points.at(-1).since).getTime() - new Date(points[0].since).getTime() > 86_400_000;
  return points
    .map((point, index) => [point, index])
    .filter(([, index]) => index % every === 0)
    .map(([point, index]) =>
      s(
        "text",
        { class: "axis", x: x(index), y: HEIGHT - 3, "text-anchor": "middle" },
        over_days ? weekday(point.since) : hour(point.since),
      ),
    );
}

const hour = (text) =>
  new Date(text).toLocaleTimeString(undefined, {
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });

const weekday = (text) =>
  new Date(text).toLocaleString(undefined, { weekday: "short", hour: "2-digit", hourCycle: "h23" });

function barMarks({ points, values, bad, x, y, format, width }) {
  const bar = (index, most, shape) =>
    s("rect", {
      class: `bar ${shape}`,
      x: x(index) - width / 2,
      width,
      y: y(most),
      height: Math.max(0, y(0) - y(most)),
      rx: Math.min(3, width / 2),
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
          { class: "dot", cx: x(index), cy: y(values[index]), r: 3.5 },
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
  const rest = h("table", {}, h("caption", {}, title), h("tbody", {}, ...rows));
  return h("div", { class: "unseen" }, rest); // a table itself takes no smaller size
}
