/** Somebody else saved first: nothing is lost, neither theirs nor ours. */

import { getTagged } from "../core/api.js";
import { h } from "../core/dom.js";
import { moment } from "../core/format.js";
import { ask } from "./dialog.js";
import { note } from "./feedback.js";
import { button } from "./page.js";

/**
 * @param {string} noun what was changed by two
 * @param {string} address of it in the API
 * @param {{loadTheirs: () => void, saveMine: (tag: string) => Promise<any>}} ways out of it
 */
export const conflictNote = (noun, address, { loadTheirs, saveMine }) =>
  note(
    "warning",
    h(
      "p",
      {},
      `Somebody else has changed this ${noun} meanwhile. Your text is still here and not saved.`,
    ),
    h(
      "div",
      { class: "row" },
      button("Load theirs", loadTheirs, { tone: "small" }),
      button("Save mine over theirs", () => saveOver(address, saveMine), { tone: "small" }),
    ),
  );

async function saveOver(address, saveMine) {
  const { value, tag } = await getTagged(address);
  const who = `${value.updated_by}, ${moment(value.updated_at)}`;
  const sureOfIt = await ask({
    title: "Save over their change?",
    body: [h("p", {}, `The last change is by ${who}. It stays readable in the audit log.`)],
    action: "Save mine",
    tone: "danger",
    submit: () => true,
  });
  if (sureOfIt) await saveMine(tag);
}
