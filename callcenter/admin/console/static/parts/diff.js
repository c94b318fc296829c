/** What changed between two contents: the API says where, words say what. */

import { h } from "../core/dom.js";
import { plain } from "../core/format.js";

const MOST_WORDS = 1_500;

/** @param {{pointer: string, before: any, after: any}[]} changes */
export function diff(changes) {
  if (changes.length === 0) return h("p", { class: "faint" }, "Nothing differs.");
  return h("dl", { class: "diff" }, ...changes.map(change));
}

const change = ({ pointer, before, after }) =>
  h(
    "div",
    {},
    h("dt", {}, pointer.slice(1).replaceAll("/", " › ")),
    h("dd", {}, ...sides(before, after)),
  );

function sides(before, after) {
  if (typeof before === "string" && typeof after === "string") {
    return [
      h(
        "p",
        {},
        ...wordDiff(before, after).map(([kind, text]) => (kind ? h(kind, {}, text) : text)),
      ),
    ];
  }
  return [
    before !== null && h("p", {}, h("del", {}, plain(before))),
    after !== null && h("p", {}, h("ins", {}, plain(after))),
  ];
}

/**
 * The shortest way from one text to the other, word by word.
 *
 * @returns {[""|"del"|"ins", string][]}
 */
export function wordDiff(before, after) {
  const [a, b] = [words(before), words(after)];
  if (a.length > MOST_WORDS || b.length > MOST_WORDS)
    return [
      ["del", before],
      ["ins", after],
    ];
  const common = commonLengths(a, b);
  const found = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) push(found, "", a[i++], j++);
    else if (j >= b.length || (i < a.length && common[i + 1][j] >= common[i][j + 1]))
      push(found, "del", a[i++]);
    else push(found, "ins", b[j++]);
  }
  return found;
}

const words = (text) => text.match(/\s*\S+\s*/g) ?? [];

/** common[i][j]: length of the longest common sequence of a[i..] and b[j..]. */
function commonLengths(a, b) {
  const table = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      table[i][j] =
        a[i] === b[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
    }
  }
  return table;
}

function push(found, kind, word) {
  if (found.at(-1)?.[0] === kind) found.at(-1)[1] += word;
  else found.push([kind, word]);
}
