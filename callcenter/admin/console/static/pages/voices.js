/** All voices, and uploading one. */

import { all, post } from "../core/api.js";
import { go, may } from "../core/app.js";
import { h } from "../core/dom.js";
import { date } from "../core/format.js";
import { ask } from "../parts/dialog.js";
import { choice, field, line, text } from "../parts/form.js";
import { badge, button, empty, link, page, table } from "../parts/page.js";

export const GENDERS = [
  ["female", "female"],
  ["male", "male"],
  ["neutral", "neutral"],
];

export async function view() {
  const voices = await all("/v1/voices");
  const upload = button("Upload a voice", uploadOne, {
    tone: "primary",
    image: "plus",
    disabled: !may("admin"),
  });
  return page(
    {
      title: "Voices",
      lead: "A clip of some seconds is enough for the agent to speak like it.",
      actions: [upload],
    },
    h(
      "section",
      { class: "card flush" },
      voices.length === 0
        ? empty("There is no voice yet.")
        : table(
            "Voices",
            [
              ["Voice", (voice) => link(`/voices/${encodeURIComponent(voice.name)}`, voice.title)],
              ["Name", (voice) => h("span", { class: "code small" }, voice.name)],
              ["Language", (voice) => voice.language],
              ["Length", (voice) => `${voice.quality.duration_s.toFixed(1)} s`, "to-end number"],
              [
                "Noise distance",
                (voice) => `${Math.round(voice.quality.snr_db)} dB`,
                "to-end number",
              ],
              ["Consent", consentOf],
              ["Usable", usableBadge],
            ],
            voices,
          ),
    ),
  );
}

function consentOf({ consent }) {
  if (consent === null) return "–";
  if (consent.revoked_at) return "revoked";
  const kind = consent.kind === "synthetic" ? "synthetic voice" : "written";
  return consent.expires_at ? `${kind}, until ${date(consent.expires_at)}` : kind;
}

export const usableBadge = ({ blocked }) =>
  blocked ? h("span", { title: blocked }, badge("blocked", "danger")) : badge("usable", "good");

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
        hint: "WAV, FLAC, MP3 or Ogg/Opus, 1 to 20 s; 4 to 8 s of clean speech are best.",
      }),
      h(
        "div",
        { class: "fields" },
        line(value, "title", "Title", {
          pointer: "/title",
          attributes: { maxlength: 120, placeholder: "Nora, calm" },
        }),
        line(value, "name", "Name", {
          pointer: "/name",
          hint: "Small letters, digits, underscores",
          attributes: { maxlength: 40, placeholder: "nora", spellcheck: "false" },
        }),
      ),
      h(
        "div",
        { class: "fields" },
        choice(value, "gender", "Sounds", GENDERS, { pointer: "/gender" }),
        line(value, "language", "Language", { pointer: "/language" }),
      ),
      line(value, "licence", "Licence", { pointer: "/licence" }),
      text(value, "transcript", "What is said in it", { pointer: "/transcript", rows: 2 }),
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
