/** Small documents (numbers, trunks, limits, webhooks): created and changed in a dialog. */

import { change, getTagged, path, post, remove } from "../core/api.js";
import { app, may } from "../core/app.js";
import { patchOf } from "../core/patch.js";
import { ask, sure } from "./dialog.js";
import { toast } from "./feedback.js";
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
  toast(`The ${kind.noun} is there.`);
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
  const text = "It is refused while something else uses it.";
  if (await sure(`Delete ${kind.noun} ${name}?`, text, "Delete", () => remove(address, tag)))
    again();
}

/** The last cell of such a document's row. */
export const rowButtons = (kind, name, role = "admin") => [
  button("Edit", () => edit(kind, name), { tone: "small", disabled: !may(role) }),
  " ",
  button("Delete", () => drop(kind, name), { tone: "small plain", disabled: !may(role) }),
];

const clean = (kind, value) => (kind.clean ? kind.clean(value) : value);
