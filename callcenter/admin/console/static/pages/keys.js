/** API keys: programs and people get in with them. */

import { all, path, post, remove } from "../core/api.js";
import { app, may } from "../core/app.js";
import { h } from "../core/dom.js";
import { ago, date } from "../core/format.js";
import { ask, sure } from "../parts/dialog.js";
import { tellSecret } from "../parts/copy.js";
import { note } from "../parts/feedback.js";
import { choice, line } from "../parts/form.js";
import { listPage, tableCard } from "../parts/list_page.js";
import { badge, button, page } from "../parts/page.js";

const ROLES = [
  ["viewer", "viewer: can look, not change"],
  ["operator", "operator: handles live calls, schedules and workers"],
  ["admin", "admin: can change everything"],
];

export async function view() {
  if (!may("admin")) return page({ title: "API keys" }, note("", "Only admins see the keys."));
  return listPage(
    {
      title: "API keys",
      lead: "Keys let people log in and programs use the API. The secret is shown once.",
      add: { label: "New key", click: makeOne },
    },
    tableCard("API keys", COLUMNS, await all("/v1/api_keys"), "No API keys yet. Create one for each person or program."),
  );
}

const COLUMNS = [
  ["Key", (key) => h("strong", {}, key.name)],
  ["Begins with", (key) => h("span", { class: "code small" }, `${key.prefix}…`)],
  ["Role", (key) => badge(key.role, key.role === "admin" ? "accent" : "")],
  ["Last used", (key) => ago(key.last_used_at), "one-line"],
  ["Expires", (key) => (key.expires_at ? date(key.expires_at) : "never"), "one-line"],
  ["State", state],
  ["", revokeButton, "to-end"],
];

function state({ revoked_at, expires_at, temporary }) {
  if (revoked_at) return badge("revoked", "danger");
  if (temporary && (!expires_at || new Date(expires_at) > new Date()))
    return badge("ends at another admin’s first log-in", "warning");
  return expires_at && new Date(expires_at) < new Date()
    ? badge("expired", "warning")
    : badge("active", "good");
}

async function makeOne() {
  const value = { name: "", role: "viewer", expires_at: null };
  const made = await ask({
    title: "New API key",
    body: [
      line(value, "name", "Who or what uses it", {
        pointer: "/name",
        attributes: { maxlength: 120, placeholder: "Wallboard" },
      }),
      choice(value, "role", "Role", ROLES, { pointer: "/role" }),
      line(value, "expires_at", "Expires", {
        pointer: "/expires_at",
        empty: null,
        hint: "Leave empty if it never expires",
        attributes: { type: "date" },
      }),
    ],
    action: "Create",
    submit: () => post("/v1/api_keys", { ...value, expires_at: endOf(value.expires_at) }),
  });
  if (!made) return;
  tellSecret("Copy your API key", "You won’t see it again.", made.secret);
  app.router.again();
}

/** The last moment of a local day. */
const endOf = (day) => (day ? new Date(`${day}T23:59:59`).toISOString() : null);

function revokeButton(key) {
  if (key.revoked_at) return null;
  const revoke = async () => {
    const text = "Everyone who uses it is locked out at once, and their sessions end.";
    if (
      await sure(`Revoke “${key.name}”?`, text, "Revoke", () =>
        remove(path`/v1/api_keys/${key.id}`),
      )
    )
      app.router.again();
  };
  return button("Revoke", revoke, { tone: "small" });
}
