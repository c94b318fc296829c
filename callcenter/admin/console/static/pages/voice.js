/** One voice: listen, quality report, consent and its revocation. */

import { change, getTagged, path, post, remove } from "../core/api.js";
import { app, go, may } from "../core/app.js";
import { h, show } from "../core/dom.js";
import { date, moment, percent } from "../core/format.js";
import { copyable } from "../parts/copy.js";
import { ask, sure } from "../parts/dialog.js";
import { attempt, note } from "../parts/feedback.js";
import { choice, line, text } from "../parts/form.js";
import { button, card, facts, page } from "../parts/page.js";
import { wave } from "../parts/wave.js";
import { GENDERS, usableBadge } from "./voices.js";

const KINDS = [
  ["written", "A person agreed in writing"],
  ["synthetic", "A synthetic voice, not of a real person"],
];

export async function view(place) {
  const address = path`/v1/voices/${place.parts.name}`;
  const { value: voice, tag } = await getTagged(address);
  return page(
    {
      title: voice.title,
      lead: h(
        "span",
        { class: "row" },
        copyable(voice.name, { what: "name", shape: "code small" }),
        usableBadge(voice),
      ),
      back: ["/voices", "Voices"],
      actions: actions(voice, address, tag),
    },
    voice.blocked && note("danger", `No new call may use this voice: ${voice.blocked}.`),
    h(
      "div",
      { class: "columns" },
      h("div", { class: "stack" }, listenCard(address), qualityCard(voice.quality)),
      h("div", { class: "stack" }, consentCard(voice, address, tag), aboutCard(voice)),
    ),
  );
}

const again = () => app.router.again();

function actions(voice, address, tag) {
  const disabled = !may("admin");
  const turn = () =>
    attempt(() => change("PATCH", address, { disabled: !voice.disabled }, tag)).then(again);
  return [
    button("Edit", () => edit(voice, address, tag), { disabled }),
    button(voice.disabled ? "Switch on" : "Switch off", turn, { disabled }),
    button("Delete", () => drop(address, tag), { tone: "plain", disabled }),
  ];
}

function listenCard(address) {
  const clip = `${address}/audio`;
  const picture = h("div");
  wave(clip).then(
    (drawn) => show(picture, drawn),
    () => {},
  ); // it is only a picture; the player tells
  return card("Listen", picture, h("audio", { controls: true, preload: "none", src: clip }));
}

const qualityCard = (quality) =>
  card(
    "Quality",
    facts(
      ["Length", `${quality.duration_s.toFixed(1)} s`],
      ["Sample rate", `${quality.rate_hz / 1_000} kHz`],
      ["Bandwidth", `${(quality.bandwidth_hz / 1_000).toFixed(1)} kHz`],
      ["Signal to noise", `${quality.snr_db.toFixed(0)} dB`],
      [
        "Clipped samples",
        quality.clipped_ratio ? `${(quality.clipped_ratio * 100).toFixed(2)} %` : "none",
      ],
      ["Speech", percent(quality.speech_ratio)],
      ["Loudness", `${quality.loudness_lufs.toFixed(1)} LUFS`],
    ),
    quality.advice.length === 0
      ? note("good", "Nothing to improve.")
      : note("warning", h("ul", {}, ...quality.advice.map((advice) => h("li", {}, advice)))),
  );

function consentCard(voice, address, tag) {
  const { consent } = voice;
  const put = button(
    consent ? "Replace" : "Record consent",
    () => putConsent(voice, address, tag),
    {
      tone: consent ? "small" : "primary",
      disabled: !may("admin"),
    },
  );
  const revoke =
    consent &&
    !consent.revoked_at &&
    button("Revoke", () => revokeConsent(address), {
      tone: "small grave",
      disabled: !may("admin"),
    });
  return card(
    "Consent",
    consent === null
      ? h(
          "p",
          { class: "faint" },
          "No consent on file yet. Until you record one, no call can use this voice.",
        )
      : record(consent),
    h("div", { class: "row" }, put, revoke),
  );
}

const record = (consent) =>
  h(
    "div",
    { class: "stack tight" },
    consent.revoked_at &&
      note("danger", `Revoked ${moment(consent.revoked_at)}: ${consent.revoked_why}`),
    facts(
      ["Kind", consent.kind === "synthetic" ? "synthetic voice" : "in writing"],
      ["Speaker", consent.subject],
      ["Document", consent.document || "–"],
      ["For", consent.scope],
      ["Since", date(consent.granted_at)],
      ["Until", consent.expires_at ? date(consent.expires_at) : "no end date"],
    ),
  );

const aboutCard = (voice) =>
  card(
    "About",
    facts(
      ["Gender", voice.gender],
      ["Language", voice.language],
      ["Licence", voice.licence],
      ["Uploaded", `${moment(voice.created_at)}, ${voice.created_by}`],
    ),
    voice.source &&
      h("div", {}, h("p", { class: "small faint" }, "Source"), h("p", {}, voice.source)),
    voice.transcript &&
      h(
        "div",
        {},
        h("p", { class: "small faint" }, "Transcript"),
        h("p", { class: "spoken" }, voice.transcript),
      ),
    copyable(voice.sha256, {
      what: "hash",
      shape: "small faint code",
      shown: `sha256 ${voice.sha256.slice(0, 16)}…`,
    }),
  );

async function putConsent(voice, address, tag) {
  const value = {
    kind: "written",
    subject: "",
    document: null,
    scope: "telephone agent",
    granted_at: today(),
    expires_at: null,
  };
  const done = await ask({
    title: `Consent for ${voice.title}`,
    body: [
      choice(value, "kind", "Kind", KINDS, { pointer: "/kind" }),
      line(value, "subject", "Speaker", {
        pointer: "/subject",
        hint: "For a synthetic voice: how it was made.",
      }),
      line(value, "document", "Where the signed document is kept", {
        pointer: "/document",
        empty: null,
      }),
      line(value, "scope", "What they agreed to", { pointer: "/scope" }),
      h(
        "div",
        { class: "fields" },
        line(value, "granted_at", "Since", {
          pointer: "/granted_at",
          attributes: { type: "date" },
        }),
        line(value, "expires_at", "Until", {
          pointer: "/expires_at",
          empty: null,
          hint: "Leave empty for no end date",
          attributes: { type: "date" },
        }),
      ),
    ],
    action: "Record consent",
    submit: () =>
      change(
        "PUT",
        `${address}/consent`,
        {
          ...value,
          granted_at: midnight(value.granted_at),
          expires_at: midnight(value.expires_at),
        },
        tag,
      ),
  });
  if (done) again();
}

const today = () => new Date().toLocaleDateString("sv"); // the Swedish form is the ISO form

/** The beginning of a local day, with its zone. */
const midnight = (day) => (day ? new Date(`${day}T00:00`).toISOString() : null);

async function revokeConsent(address) {
  const value = { why: "" };
  const done = await ask({
    title: "Revoke the consent?",
    body: [
      h("p", {}, "New calls stop using this voice. Live calls go on to their end."),
      line(value, "why", "Why", { pointer: "/why" }),
    ],
    action: "Revoke",
    tone: "danger",
    submit: () => post(`${address}/consent/revoke`, value),
  });
  if (done) again();
}

async function edit(voice, address, tag) {
  const { title, gender, language, licence, source, transcript } = voice;
  const value = { title, gender, language, licence, source, transcript };
  const done = await ask({
    title: "Edit the voice",
    body: [
      line(value, "title", "Title", { pointer: "/title" }),
      h(
        "div",
        { class: "fields" },
        choice(value, "gender", "Gender", GENDERS, { pointer: "/gender" }),
        line(value, "language", "Language", { pointer: "/language" }),
      ),
      line(value, "licence", "Licence", { pointer: "/licence" }),
      text(value, "source", "Source", { pointer: "/source", rows: 2 }),
      text(value, "transcript", "Transcript", { pointer: "/transcript", rows: 2 }),
    ],
    action: "Save",
    submit: () => change("PATCH", address, value, tag),
  });
  if (done) again();
}

async function drop(address, tag) {
  const gone = await sure("Delete this voice?", "This deletes its clip, too.", "Delete", () =>
    remove(address, tag),
  );
  if (gone) go("/voices");
}
