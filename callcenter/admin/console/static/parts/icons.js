/** Line icons, drawn for 24 by 24. */

import { s } from "../core/dom.js";

const PATHS = {
  overview: "M4 13h6V4H4zM14 20h6v-9h-6zM4 20h6v-3H4zM14 7h6V4h-6z",
  calls:
    "M6.500 10.500a15 15 0 0 0 7 7l2-2a1 1 0 0 1 1-.2 11 11 0 0 0 3 .5 1 1 0 0 1 1 1v3a1 1 0 0 1-1 1A16 16 0 0 1 3.500 4.500a1 1 0 0 1 1-1h3a1 1 0 0 1 1 1 11 11 0 0 0 .5 3 1 1 0 0 1-.2 1z",
  personas: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM4.500 20a7.500 7.500 0 0 1 15 0",
  voices: "M4 10v4M8 7v10M12 4v16M16 8v8M20 10.500v3",
  numbers: "M9 4 7 20M17 4l-2 16M4.500 9h16M3.500 15h16",
  routes: "M5 6h6a4 4 0 0 1 4 4v4a4 4 0 0 0 4 4M5 6l3-3M5 6l3 3M16 15l3 3-3 3",
  schedules: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 7v5l3.500 2",
  workers: "M4 5h16v5H4zM4 14h16v5H4zM7.500 7.500h.01M7.500 16.500h.01",
  keys: "M15 9a4 4 0 1 0-3.700 4L13 15h2v2h2v2h3v-3l-5.200-5.200c.1-.6.2-1.200.2-1.800ZM9.500 8h.01",
  sessions: "M4 5h16v11H4zM9 20h6M12 16v4",
  reference: "M5 4h9l5 5v11H5zM14 4v5h5M8 13l-1.500 1.500L8 16M12 13l1.500 1.500L12 16",
  audit: "M6 3h9l4 4v14H6zM9 11h7M9 15h7M9 7h3",
  webhooks:
    "M10 14a4 4 0 0 1 0-5.700l3-3A4 4 0 0 1 18.700 11l-1.500 1.500M14 10a4 4 0 0 1 0 5.700l-3 3A4 4 0 0 1 5.300 13l1.500-1.500",
  limits: "M4 17a8 8 0 1 1 16 0M12 17l4-5",
  trunks: "M3 8h12M12 4l4 4-4 4M21 16H9M12 12l-4 4 4 4",
  back: "m14 6-6 6 6 6",
  plus: "M12 5v14M5 12h14",
  close: "m6 6 12 12M18 6 6 18",
  check: "m5 12.500 4.500 4.500L19 7.500",
  minus: "M6 12h12",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM16 16l4.500 4.500",
  warning: "M12 4 2.800 20h18.400zM12 10v4.500M12 17.300v.01",
  info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 11v5M12 8v.01",
  system: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16ZM12 4v16M12 8h5M12 12h8M12 16h5",
  light:
    "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M5.300 18.700l1.400-1.400M17.300 6.700l1.400-1.400",
  dark: "M20 14.500A8.500 8.500 0 1 1 9.500 4a7 7 0 0 0 10.500 10.500Z",
  leave: "M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9",
  menu: "M4 7h16M4 12h16M4 17h16",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
};

/** @param {keyof PATHS} name */
export const icon = (name) =>
  s(
    "svg",
    { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" },
    s("path", { d: PATHS[name] }),
  );
