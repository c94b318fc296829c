/** Where a log-in in a new tab ends: the other tab goes on. */

import { page } from "../parts/page.js";

export async function view() {
  return page({
    title: "You are logged in again",
    lead: "Close this tab and continue in the other one.",
  });
}
