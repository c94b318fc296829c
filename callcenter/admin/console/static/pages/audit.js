/** The audit log: who did what, with what was there before and after. */

import { get } from "../core/api.js";
import { app, may } from "../core/app.js";
import { debounced, h, show } from "../core/dom.js";
import { exact, words } from "../core/format.js";
import { diff } from "../parts/diff.js";
import { tell } from "../parts/dialog.js";
import { note, problemNote } from "../parts/feedback.js";
import { badge, button, empty, page, paged, table } from "../parts/page.js";

const TYPING_MS = 300;
const KINDS = [
  "persona",
  "version",
  "voice",
  "number",
  "route",
  "schedule",
  "trunk",
  "limit",
  "webhook",
  "api_key",
  "session",
  "access",
  "worker",
  "call",
];

export async function view(place) {
  if (!may("admin"))
    return page({ title: "Audit log" }, note("", "Only admins see the audit log."));
  const wanted = { actor: "", kind: "", name: "", ...place.query };
  const list = h("section", { class: "card flush", "aria-live": "polite" });
  const look = async () => {
    app.router.note(wanted);
    try {
      show(
        list,
        await paged((cursor) => get("/v1/audit", { ...wanted, cursor, limit: 50 }), auditTable),
      );
    } catch (problem) {
      show(list, problemNote(problem));
    }
  };
  await look();
  const later = debounced(TYPING_MS, look);
  return page(
    { title: "Audit log", lead: "Who changed what, and what was refused. Entries cannot be changed." },
    h(
      "search",
      { class: "row" },
      input("Actor", "actor", wanted, later, true),
      input("Name of the object", "name", wanted, later),
      h(
        "div",
        {},
        h(
          "select",
          {
            "aria-label": "Kind",
            on: { change: (event) => ((wanted.kind = event.target.value), look()) },
          },
          h("option", { value: "" }, "All kinds"),
          ...KINDS.map((kind) =>
            h("option", { value: kind, selected: kind === wanted.kind }, words(kind)),
          ),
        ),
      ),
    ),
    list,
  );
}

function input(label, key, wanted, later, first = false) {
  const control = h("input", {
    type: "search",
    "aria-label": label,
    placeholder: label,
    maxlength: 120,
    value: wanted[key],
    "data-key": first ? "search" : null,
  });
  control.addEventListener("input", () => {
    wanted[key] = control.value.trim();
    later();
  });
  return h("div", { class: "grow" }, control);
}

function auditTable(items) {
  if (items.length === 0) return empty("No entries match.");
  return table(
    "Audit log",
    [
      ["When", (event) => exact(event.at), "one-line"],
      ["Who", actorOf, "wide"],
      ["Did", (event) => words(event.action), "one-line"],
      [
        "What",
        (event) => [`${words(event.object_kind)} `, h("strong", {}, event.object_name)],
        "wide",
      ],
      ["", (event) => detailButton(event), "to-end"],
    ],
    items,
  );
}

/** A name, and what has it: a key may be called like a person. */
const actorOf = ({ actor, actor_id: id, actor_kind: kind, role }) =>
  h(
    "span",
    { class: "row tight", title: id || null },
    actor,
    kind && kind !== "nobody" && badge(kind, kind === "system" ? "accent" : ""),
    kind !== "nobody" && badge(role),
  );

function detailButton(event) {
  if (event.before === null && event.after === null) return null;
  return button(
    "Changes",
    () =>
      tell(
        `${words(event.action)} ${words(event.object_kind)} ${event.object_name}`,
        diff(changesOf(event)),
      ),
    { tone: "small" },
  );
}

/** Differences of two JSON values, leaf by leaf, as the API gives them for versions. */
export function changesOf({ before, after }) {
  const [old, fresh] = [leaves(before), leaves(after)];
  return [...new Set([...old.keys(), ...fresh.keys()])]
    .filter((pointer) => old.get(pointer) !== fresh.get(pointer))
    .map((pointer) => ({
      pointer,
      before: old.get(pointer) ?? null,
      after: fresh.get(pointer) ?? null,
    }));
}

function leaves(value, pointer = "", found = new Map()) {
  if (value !== null && typeof value === "object") {
    for (const [key, one] of Object.entries(value)) leaves(one, `${pointer}/${key}`, found);
  } else if (value !== null && value !== undefined) {
    found.set(pointer, typeof value === "string" ? value : JSON.stringify(value));
  }
  return found;
}
