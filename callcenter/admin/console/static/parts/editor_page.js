/** The page of one large document (a route, a schedule): its form, saving it, deleting it. */

import { change, getTagged, path, post, remove } from "../core/api.js";
import { app, go, may } from "../core/app.js";
import { h, show } from "../core/dom.js";
import { patchOf } from "../core/patch.js";
import { copyable } from "./copy.js";
import { conflictNote } from "./conflict.js";
import { sure } from "./dialog.js";
import { bare } from "./document.js";
import { problemNote, toast } from "./feedback.js";
import { place as placeMistakes } from "./form.js";
import { button, page } from "./page.js";

/**
 * @param {object} place of the router; its part `name` is "new" for a document that is not there yet
 * @param {{plural: string, noun: string, title: string, role: string, blank: object, kept: string}}
 *   kind `title` is the list's, `kept` says when deleting is refused
 * @param {(value: object, fresh: boolean) => {form: Node, aside: Node, gather?: () => object}} draw
 *   `gather` gives the document that the form stands for; without it, `value` itself
 */
export async function editorPage(place, kind, draw) {
  const fresh = place.parts.name === "new";
  const address = path`/v1/${kind.plural}/${place.parts.name}`;
  const stored = fresh ? { value: kind.blank, tag: null } : await getTagged(address);
  const before = fresh ? kind.blank : bare(stored.value);
  const value = structuredClone(before);
  const { form, aside, gather = () => value } = draw(value, fresh);
  const trouble = h("div", { hidden: true });
  const text = () => JSON.stringify(gather());
  let saved = text();
  place.guard(() =>
    text() === saved ? "" : `The ${kind.noun} has unsaved changes. Leave without saving?`,
  );

  const save = async (tag = stored.tag) => {
    trouble.hidden = true;
    const mine = gather();
    try {
      if (fresh) await post(`/v1/${kind.plural}`, mine);
      else await change("PATCH", address, patchOf(before, mine), tag);
      saved = text();
      toast(`The ${kind.noun} is saved.`);
      go(`/${kind.plural}/${encodeURIComponent(mine.name)}`, { replace: true });
    } catch (problem) {
      if (problem.status === undefined) throw problem;
      refused(problem);
    }
  };
  const loadTheirs = () => {
    saved = text(); // the person has agreed to lose it
    app.router.again();
  };
  const refused = (problem) => {
    const clash = problem.status === 412;
    const rest = clash ? problem : placeMistakes(form, problem);
    trouble.hidden = rest === null;
    const words = () =>
      clash ? conflictNote(kind.noun, address, { loadTheirs, saveMine: save }) : problemNote(rest);
    if (rest) show(trouble, words());
  };
  return page(
    {
      title: fresh ? `New ${kind.noun}` : before.title,
      lead: fresh ? null : copyable(before.name, { what: "name", shape: "code small" }),
      back: [`/${kind.plural}`, kind.title],
      actions: actions(
        kind,
        fresh,
        () => save(),
        () => drop(kind, address, stored.tag),
      ),
    },
    trouble,
    h("div", { class: "columns" }, form, h("div", { class: "stack" }, aside)),
  );
}

function actions(kind, fresh, save, drop) {
  const disabled = !may(kind.role);
  const saving = button("Save", save, { tone: "primary", disabled, title: "Ctrl + S" });
  saving.dataset.key = "save";
  return fresh ? [saving] : [button("Delete", drop, { tone: "plain", disabled }), saving];
}

async function drop(kind, address, tag) {
  const gone = await sure(`Delete this ${kind.noun}?`, kind.kept, "Delete", () =>
    remove(address, tag),
  );
  if (gone) go(`/${kind.plural}`);
}
