/** Trunks: where calls come in from. */

import { all } from "../core/api.js";
import { may } from "../core/app.js";
import { h } from "../core/dom.js";
import { create, rowButtons } from "../parts/document.js";
import { choice, line, number } from "../parts/form.js";
import { button, empty, page, table } from "../parts/page.js";

const KINDS = [
  ["twilio", "Twilio"],
  ["sip", "SIP"],
  ["webrtc", "browsers (WebRTC)"],
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
      h(
        "div",
        { class: "fields" },
        line(value, "title", "Title", { pointer: "/title", attributes: { maxlength: 120 } }),
        line(value, "name", "Name", {
          pointer: "/name",
          attributes: { disabled: !fresh, maxlength: 40, spellcheck: "false" },
        }),
      ),
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
  const trunks = await all("/v1/trunks");
  return page(
    {
      title: "Trunks",
      lead: "The carriers’ lines.",
      actions: [
        button("Add a trunk", () => create(TRUNK), {
          tone: "primary",
          image: "plus",
          disabled: !may("admin"),
        }),
      ],
    },
    h(
      "section",
      { class: "card flush" },
      trunks.length === 0
        ? empty("There is no trunk yet.")
        : table(
            "Trunks",
            [
              ["Trunk", (trunk) => h("strong", {}, trunk.title)],
              ["Name", (trunk) => h("span", { class: "code small" }, trunk.name)],
              ["Kind", (trunk) => trunk.kind],
              ["Networks", (trunk) => trunk.addresses.join(", ") || "every one"],
              ["Most calls", (trunk) => trunk.max_channels ?? "–", "to-end"],
              ["", (trunk) => rowButtons(TRUNK, trunk.name), "to-end one-line"],
            ],
            trunks,
          ),
    ),
  );
}
