/** Light, dark, or as the system says; kept in this browser. */

const KEY = "theme";
const NEXT = { system: "light", light: "dark", dark: "system" };

/** Shows the theme that was chosen last. */
export function begin() {
  apply(current());
}

export const current = () => localStorage.getItem(KEY) ?? "system";

/** Goes on to the next theme; returns its name. */
export function turn() {
  const next = NEXT[current()];
  localStorage.setItem(KEY, next);
  apply(next);
  return next;
}

function apply(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
