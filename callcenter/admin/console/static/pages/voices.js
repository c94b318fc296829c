/** All voices, and uploading one. */

import { all, post } from "../core/api.js";
import { go } from "../core/app.js";
import { h } from "../core/dom.js";
import { date } from "../core/format.js";
import { ask } from "../parts/dialog.js";
import { nameFields } from "../parts/document.js";
import { choice, field, line, text } from "../parts/form.js";
import { listPage, tableCard } from "../parts/list_page.js";
import { badge, link } from "../parts/page.js";

export const GENDERS = [
  ["female", "female"],
  ["male", "male"],
  ["neutral", "neutral"],
];

export async function view() {
  return listPage(
    {
      title: "Voices",
      lead: "A few seconds of speech are enough for the agent to speak in that voice.",
      add: { label: "Upload a voice", click: uploadOne },
    },
    tableCard("Voices", COLUMNS, await all("/v1/voices"), "No voices yet. Upload a clip of a speaker who agreed to it."),
  );
}

const COLUMNS = [
  ["Voice", (voice) => link(`/voices/${encodeURIComponent(voice.name)}`, voice.title)],
  ["Name", (voice) => h("span", { class: "code small" }, voice.name)],
  ["Language", (voice) => voice.language],
  ["Length", (voice) => `${voice.quality.duration_s.toFixed(1)} s`, "to-end number one-line"],
  ["Signal to noise", ({ quality }) => `${Math.round(quality.snr_db)} dB`, "to-end number one-line"],
  ["Consent", consentOf],
  ["Usable", usableBadge],
];

function consentOf({ consent }) {
  if (consent === null) return "–";
  if (consent.revoked_at) return "revoked";
  const kind = consent.kind === "synthetic" ? "synthetic voice" : "written";
  return consent.expires_at ? `${kind}, until ${date(consent.expires_at)}` : kind;
}

export function usableBadge({ blocked }) {
  return blocked
    ? h("span", { title: blocked }, badge("blocked", "danger"))
    : badge("usable", "good");
}

async function uploadOne() {
  const value = {
    name: "",
    title: "",
    gender: "female",
    language: "en",
    licence: "own recording",
    source: "",
    transcript: "",
  };
  const file = h("input", { type: "file", accept: ".wav,.flac,.mp3,.ogg,.opus,audio/*" });
  const created = await ask({
    title: "Upload a voice",
    body: [
      field("Clip", file, {
        pointer: "/file",
        hint: "WAV, AIFF, FLAC, MP3 or Ogg (Opus, Vorbis), 1 to 20 s; 4 to 8 s of clean speech are best.",
      }),
      h(
        "div",
        { class: "fields" },
        ...nameFields(value, true, { title: "Nora, calm", name: "nora" }),
      ),
      h(
        "div",
        { class: "fields" },
        choice(value, "gender", "Gender", GENDERS, { pointer: "/gender" }),
        line(value, "language", "Language", { pointer: "/language" }),
      ),
      line(value, "licence", "Licence", { pointer: "/licence" }),
      text(value, "transcript", "Transcript", { pointer: "/transcript", rows: 2 }),
    ],
    action: "Upload",
    submit: () => post("/v1/voices", formData(value, file.files[0])),
  });
  if (created) go(`/voices/${encodeURIComponent(created.name)}`);
}

function formData(value, file) {
  const data = new FormData();
  for (const [name, text] of Object.entries(value)) data.append(name, text);
  if (file) data.append("file", file);
  return data;
}
