/** Trunks: where calls come in from. */

import { all } from "../core/api.js";
import { h } from "../core/dom.js";
import { create, nameFields, rowButtons } from "../parts/document.js";
import { choice, line, number } from "../parts/form.js";
import { listPage, tableCard } from "../parts/list_page.js";

const KINDS = [
  ["twilio", "Twilio"],
  ["sip", "SIP"],
  ["webrtc", "Browsers (WebRTC)"],
];

const TRUNK = {
  plural: "trunks",
  noun: "trunk",
  blank: { name: "", title: "", kind: "sip", addresses: "", secret_ref: null, max_channels: null },
  clean: (value) => ({
    ...value,
    addresses: String(value.addresses)
      .split(/[\s,]+/)
      .filter(Boolean),
  }),
  fields: (value, fresh) => {
    value.addresses = [value.addresses].flat().join(", ");
    return [
      h("div", { class: "fields" }, ...nameFields(value, fresh)),
      choice(value, "kind", "Kind", KINDS, { pointer: "/kind" }),
      line(value, "addresses", "Networks that may send calls", {
        pointer: "/addresses",
        hint: "Such as 203.0.113.0/24; empty allows every one",
      }),
      line(value, "secret_ref", "Variable that holds its secret", {
        pointer: "/secret_ref",
        empty: null,
        hint: "Name of an environment variable; never the secret itself",
      }),
      number(value, "max_channels", "Most calls at once", {
        pointer: "/max_channels",
        attributes: { min: 1, placeholder: "no bound" },
      }),
    ];
  },
};

export async function view() {
  return listPage(
    {
      title: "Trunks",
      lead: "The carriers’ lines.",
      add: { label: "Add a trunk", click: () => create(TRUNK) },
    },
    tableCard("Trunks", COLUMNS, await all("/v1/trunks"), "There is no trunk yet."),
  );
}

const COLUMNS = [
  ["Trunk", (trunk) => h("strong", {}, trunk.title)],
  ["Name", (trunk) => h("span", { class: "code small" }, trunk.name)],
  ["Kind", (trunk) => KINDS.find(([kind]) => kind === trunk.kind)[1]],
  ["Networks", (trunk) => trunk.addresses.join(", ") || "every one"],
  ["Most calls", (trunk) => trunk.max_channels ?? "no bound", "to-end number"],
  ["", (trunk) => rowButtons(TRUNK, trunk.name), "to-end one-line"],
];
