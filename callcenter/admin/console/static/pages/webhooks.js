/** Webhooks: where calls are reported to, and what was delivered. */

import { all, get, path, post } from "../core/api.js";
import { may } from "../core/app.js";
import { h, show } from "../core/dom.js";
import { moment, plural } from "../core/format.js";
import { tellSecret } from "../parts/copy.js";
import { create, nameFields, rowButtons } from "../parts/document.js";
import { tell } from "../parts/dialog.js";
import { attempt, note } from "../parts/feedback.js";
import { check, field, line } from "../parts/form.js";
import { listPage, tableCard } from "../parts/list_page.js";
import { badge, button, empty, page, paged, table } from "../parts/page.js";

const EVENTS = ["call.started", "call.answered", "call.ended", "call.refused"];
const TONES = { delivered: "good", failed: "danger", pending: "warning" };

const WEBHOOK = {
  plural: "webhooks",
  noun: "webhook",
  blank: { name: "", title: "", url: "", events: ["call.ended"], enabled: true },
  fields: (value, fresh) => [
    h("div", { class: "fields" }, ...nameFields(value, fresh)),
    line(value, "url", "Address", {
      pointer: "/url",
      attributes: { placeholder: "https://example.com/calls", inputmode: "url" },
    }),
    field("Events", eventBoxes(value), { pointer: "/events" }),
    check(value, "enabled", "Enabled"),
  ],
};

function eventBoxes(value) {
  return h(
    "div",
    { class: "row", role: "group", "aria-label": "Events" },
    ...EVENTS.map((event) => {
      const state = { on: value.events.includes(event) };
      return check(state, "on", event, {
        onChange: () =>
          (value.events = EVENTS.filter((one) =>
            one === event ? state.on : value.events.includes(one),
          )),
      });
    }),
  );
}

export async function view() {
  if (!may("admin")) return page({ title: "Webhooks" }, note("", "Only admins see the webhooks."));
  return listPage(
    {
      title: "Webhooks",
      lead: "Calls are reported to these addresses. Reports are signed and sent again until they arrive.",
      add: { label: "Add a webhook", click: add },
    },
    tableCard("Webhooks", COLUMNS, await all("/v1/webhooks"), "No webhooks yet. Add one to tell another system about your calls."),
  );
}

const COLUMNS = [
  [
    "Webhook",
    ({ title, url }) => [h("strong", {}, title), h("div", { class: "small faint code" }, url)],
    "wide",
  ],
  ["Events", (webhook) => webhook.events.join(", ")],
  ["State", (webhook) => (webhook.enabled ? badge("enabled", "good") : badge("disabled"))],
  [
    "",
    (webhook) => [
      button("Deliveries", () => deliveries(webhook), { tone: "small" }),
      " ",
      rowButtons(WEBHOOK, webhook.name),
    ],
    "to-end one-line",
  ],
];

async function add() {
  const made = await create(WEBHOOK);
  if (made)
    tellSecret(
      "Copy the signing secret",
      "You won’t see it again. The receiver checks signatures with it.",
      made.secret,
    );
}

async function deliveries(webhook) {
  const address = path`/v1/webhooks/${webhook.name}/deliveries`;
  const box = h("div");
  const look = async () =>
    show(
      box,
      await paged(
        (cursor) => get(address, { cursor, limit: 20 }),
        (items) => deliveryTable(items, address, look),
      ),
    );
  if (await attempt(look)) tell(`Deliveries to ${webhook.title}`, box);
}

function deliveryTable(items, address, look) {
  if (items.length === 0) return empty("Nothing sent yet. Deliveries appear here with the next call.");
  const again = (delivery) =>
    attempt(async () => {
      await post(`${address}/${encodeURIComponent(delivery.id)}/redeliver`);
      await look();
    }, "Queued to be sent again.");
  return table(
    "Deliveries",
    [
      ["When", (delivery) => moment(delivery.created_at), "one-line"],
      ["Event", (delivery) => delivery.event],
      [
        "State",
        (delivery) => [
          badge(delivery.state, TONES[delivery.state]),
          h(
            "div",
            { class: "small faint" },
            delivery.error || plural(delivery.attempts, "attempt"),
          ),
        ],
      ],
      [
        "",
        (delivery) =>
          button("Send again", () => again(delivery), {
            tone: "small",
            disabled: !may("operator"),
          }),
      ],
    ],
    items,
  );
}
