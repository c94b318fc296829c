/** Small documents (numbers, trunks, limits, webhooks): created and changed in a dialog. */

import { change, getTagged, path, post, remove } from "../core/api.js";
import { app, may } from "../core/app.js";
import { patchOf } from "../core/patch.js";
import { ask, sure } from "./dialog.js";
import { toast } from "./feedback.js";
import { line } from "./form.js";
import { button } from "./page.js";

const STAMP = ["id", "revision", "created_at", "created_by", "updated_at", "updated_by"];
const again = () => app.router.again();

/** A document without what the store adds. */
export function bare(stored) {
  return Object.fromEntries(Object.entries(stored).filter(([key]) => !STAMP.includes(key)));
}

/**
 * Asks for a new document.
 *
 * @param {{plural: string, noun: string, blank: object, fields: (value: object, fresh: boolean) => Node[],
 *          clean?: (value: object) => object}} kind
 */
export async function create(kind) {
  const value = structuredClone(kind.blank);
  const created = await ask({
    title: `New ${kind.noun}`,
    body: kind.fields(value, true),
    action: "Create",
    submit: () => post(`/v1/${kind.plural}`, clean(kind, value)),
  });
  if (!created) return undefined;
  toast(`The ${kind.noun} was created.`);
  again();
  return created;
}

/** Changes one; the dialog shows it as it is now. */
export async function edit(kind, name) {
  const address = path`/v1/${kind.plural}/${name}`;
  const { value: stored, tag } = await getTagged(address);
  const before = bare(stored);
  const value = structuredClone(before);
  const changed = await ask({
    title: `Edit ${kind.noun}`,
    body: kind.fields(value, false),
    action: "Save",
    submit: () => change("PATCH", address, patchOf(before, clean(kind, value)), tag),
  });
  if (changed) again();
}

/** Deletes one, if nothing uses it. */
export async function drop(kind, name) {
  const address = path`/v1/${kind.plural}/${name}`;
  const { tag } = await getTagged(address);
  const text = "You can only delete it while nothing else uses it.";
  if (await sure(`Delete ${kind.noun} ${name}?`, text, "Delete", () => remove(address, tag)))
    again();
}

/** The last cell of such a document's row. */
export const rowButtons = (kind, name, role = "admin") => [
  button("Edit", () => edit(kind, name), { tone: "small", disabled: !may(role) }),
  " ",
  button("Delete", () => drop(kind, name), { tone: "small plain", disabled: !may(role) }),
];

/**
 * Title and name of a new or a present document. While nobody has touched the name of a new one, it
 * follows the title.
 *
 * @param {{title?: string, name?: string}} examples shown while a field is empty
 */
export function nameFields(value, fresh, examples = {}) {
  const name = line(value, "name", "Name", {
    pointer: "/name",
    hint: fresh ? "Small letters, digits, underscores" : null,
    attributes: {
      disabled: !fresh,
      maxlength: 40,
      spellcheck: "false",
      placeholder: examples.name ?? null,
    },
  });
  const control = name.querySelector("input");
  let followed = value.name === "";
  control.addEventListener("input", () => (followed = false));
  const follow = () => {
    if (followed && fresh) value.name = control.value = slug(value.title);
  };
  const title = line(value, "title", "Title", {
    pointer: "/title",
    onChange: follow,
    attributes: { maxlength: 120, placeholder: examples.title ?? null },
  });
  return [title, name];
}

/** A title as a name: "Nora, calm" -> "nora_calm". */
export const slug = (title) =>
  title
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^[_0-9]+|_+$/g, "")
    .slice(0, 40);

const clean = (kind, value) => (kind.clean ? kind.clean(value) : value);
