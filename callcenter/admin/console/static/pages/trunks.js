/** Trunks: where calls come in from. */

import { all } from "../core/api.js";
import { h } from "../core/dom.js";
import { create, nameFields, rowButtons } from "../parts/document.js";
import { check, choice, line, number, splitWords, wordsLine } from "../parts/form.js";
import { listPage, tableCard } from "../parts/list_page.js";

const KINDS = [
  ["twilio", "Twilio"],
  ["sip", "SIP"],
  ["webrtc", "Browsers (WebRTC)"],
];

const SRTP = [
  ["never", "never"],
  ["may", "if the other side asks for it"],
  ["must", "always (needs TLS)"],
];
const SIP = {
  username: null,
  transports: ["udp", "tcp", "tls"],
  srtp: "may",
  codecs: ["pcmu", "pcma"],
  registrar: null,
  outbound_proxy: null,
  international_prefixes: [],
  trust_identity: false,
};
const REGISTRAR = { uri: "", username: "", auth_username: null, secret_ref: "", expires_s: 300 };

const TRUNK = {
  plural: "trunks",
  noun: "trunk",
  blank: {
    name: "",
    title: "",
    kind: "sip",
    addresses: [],
    secret_ref: null,
    max_channels: null,
    sip: null,
  },
  clean: (value) => ({
    ...value,
    addresses: splitWords(value.addresses),
    sip: value.kind === "sip" ? cleanSip(value.sip) : null,
  }),
  fields: (value, fresh) => {
    value.sip = { ...SIP, ...value.sip };
    const sip = h("div", { class: "form", data: { pointer: "/sip" } }, ...sipFields(value.sip));
    const unfold = () => (sip.hidden = value.kind !== "sip");
    unfold();
    return [
      h("div", { class: "fields" }, ...nameFields(value, fresh)),
      choice(value, "kind", "Kind", KINDS, { pointer: "/kind", onChange: unfold }),
      wordsLine(value, "addresses", "Networks that may send calls", {
        pointer: "/addresses",
        hint: "Such as 203.0.113.0/24; leave empty to allow any network",
      }),
      line(value, "secret_ref", "Variable that holds its secret", {
        pointer: "/secret_ref",
        empty: null,
        hint: "An environment variable of the gateways, TRUNK_...; never the secret itself",
      }),
      number(value, "max_channels", "Max concurrent calls", {
        pointer: "/max_channels",
        attributes: { min: 1, placeholder: "unlimited" },
      }),
      sip,
    ];
  },
};

const cleanSip = ({ transports, codecs, registrar, international_prefixes, ...rest }) => ({
  ...rest,
  international_prefixes: splitWords(international_prefixes),
  transports: splitWords(transports),
  codecs: splitWords(codecs),
  registrar: registrar.uri ? registrar : null,
});

function sipFields(sip) {
  sip.registrar = { ...REGISTRAR, ...sip.registrar };
  return [
    line(sip, "username", "Logs in as", {
      pointer: "/sip/username",
      empty: null,
      hint: "With the secret above, at every call; empty for the trunk’s name",
    }),
    h(
      "div",
      { class: "fields" },
      wordsLine(sip, "transports", "Transports", {
        pointer: "/sip/transports",
        hint: "Some of udp, tcp, tls",
      }),
      choice(sip, "srtp", "Encrypts audio", SRTP, { pointer: "/sip/srtp" }),
    ),
    wordsLine(sip, "codecs", "Codecs", {
      pointer: "/sip/codecs",
      hint: "Some of opus, g722, pcmu, pcma; preferred first",
    }),
    wordsLine(sip, "international_prefixes", "Prefixes that stand for a plus", {
      pointer: "/sip/international_prefixes",
      hint: "Such as 00 or 011, where the far end writes numbers so",
    }),
    check(sip, "trust_identity", "The far end’s P-Asserted-Identity says who calls"),
    line(sip, "outbound_proxy", "Outbound proxy", {
      pointer: "/sip/outbound_proxy",
      empty: null,
      hint: "Such as sip:edge.example.com;transport=tls; empty where none is needed",
    }),
    h(
      "details",
      { open: sip.registrar.uri !== "", data: { pointer: "/sip/registrar" } },
      h("summary", {}, "Registration"),
      h("div", { class: "form" }, ...registrarFields(sip.registrar)),
    ),
  ];
}

const registrarFields = (registrar) => [
  line(registrar, "uri", "Registrar", {
    pointer: "/sip/registrar/uri",
    hint: "Such as sip:pbx.example.com;transport=tls; empty where none is needed",
  }),
  h(
    "div",
    { class: "fields" },
    line(registrar, "username", "Account", { pointer: "/sip/registrar/username" }),
    line(registrar, "secret_ref", "Variable that holds its password", {
      pointer: "/sip/registrar/secret_ref",
      hint: "TRUNK_...",
    }),
  ),
  line(registrar, "auth_username", "Name that the password belongs to", {
    pointer: "/sip/registrar/auth_username",
    empty: null,
    hint: "Empty where it is the account’s",
  }),
  number(registrar, "expires_s", "Renewed within", {
    pointer: "/sip/registrar/expires_s",
    hint: "Seconds",
    attributes: { min: 60, max: 86_400 },
  }),
];

export async function view() {
  return listPage(
    {
      title: "Trunks",
      lead: "Lines from your carriers, and from browsers.",
      add: { label: "Add a trunk", click: () => create(TRUNK) },
    },
    tableCard("Trunks", COLUMNS, await all("/v1/trunks"), "No trunks yet. Add one to receive calls from a carrier."),
  );
}

const COLUMNS = [
  ["Trunk", (trunk) => h("strong", {}, trunk.title)],
  ["Name", (trunk) => h("span", { class: "code small" }, trunk.name)],
  ["Kind", (trunk) => KINDS.find(([kind]) => kind === trunk.kind)[1]],
  ["Networks", (trunk) => trunk.addresses.join(", ") || "any network"],
  ["Max calls", (trunk) => trunk.max_channels ?? "unlimited", "to-end number"],
  ["", (trunk) => rowButtons(TRUNK, trunk.name), "to-end one-line"],
];
