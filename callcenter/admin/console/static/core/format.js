/** Numbers and moments as people read them. Nothing here knows a page. */

const DASH = "–";
const DAY_MS = 86_400_000;

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});
const clockS = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const full = new Intl.DateTimeFormat(undefined, {
  dateStyle: "medium",
  timeStyle: "short",
  hourCycle: "h23",
});

/** "14:03" today, with the day before that. */
export function moment(text, now = new Date()) {
  if (!text) return DASH;
  const at = new Date(text);
  return at.toDateString() === now.toDateString() ? clock.format(at) : full.format(at);
}

/** With seconds. */
export const exact = (text) =>
  text ? `${day.format(new Date(text))}, ${clockS.format(new Date(text))}` : DASH;

export const date = (text) => (text ? day.format(new Date(text)) : DASH);

/** "3 min ago". */
export function ago(text, now = Date.now()) {
  if (!text) return "never";
  const gone_ms = now - new Date(text).getTime();
  if (gone_ms < 60_000) return "just now";
  if (gone_ms < 3_600_000) return `${Math.floor(gone_ms / 60_000)} min ago`;
  if (gone_ms < DAY_MS) return `${Math.floor(gone_ms / 3_600_000)} h ago`;
  return date(text);
}

/** "1:05", for lengths of calls. */
export function length(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  const whole = Math.max(0, Math.round(seconds));
  const pad = (n) => String(n).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3_600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
}

/** "420 ms" or "2.4 s", for delays. */
export function delay(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  return seconds < 1 ? `${Math.round(seconds * 1_000)} ms` : `${seconds.toFixed(1)} s`;
}

export const count = (number) => new Intl.NumberFormat().format(number);

export const percent = (share) => `${Math.round(share * 100)} %`;

/** "1 call", "2 calls". */
export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

/** "call_ended" or "BargeIn" in words: "call ended", "barge in". */
export const words = (code) =>
  String(code)
    .replaceAll("_", " ")
    .replace(/(?<=[a-z])(?=[A-Z])/g, " ")
    .toLowerCase();

/** A value of JSON on one line; text without its quotes. */
export const plain = (value) => (typeof value === "string" ? value : JSON.stringify(value));
