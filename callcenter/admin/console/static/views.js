/** All addresses of the console; the last one stands for every unknown one. */

import * as audit from "./pages/audit.js";
import * as confirmed from "./pages/confirmed.js";
import * as calls from "./pages/calls.js";
import * as call from "./pages/call.js";
import * as keys from "./pages/keys.js";
import * as limits from "./pages/limits.js";
import * as numbers from "./pages/numbers.js";
import * as overview from "./pages/overview.js";
import * as persona from "./pages/persona.js";
import * as personas from "./pages/personas.js";
import * as route from "./pages/route.js";
import * as routes from "./pages/routes.js";
import * as schedule from "./pages/schedule.js";
import * as schedules from "./pages/schedules.js";
import * as sessions from "./pages/sessions.js";
import * as trunks from "./pages/trunks.js";
import * as voice from "./pages/voice.js";
import * as voices from "./pages/voices.js";
import * as webhooks from "./pages/webhooks.js";
import * as workers from "./pages/workers.js";
import { page } from "./parts/page.js";

export const VIEWS = [
  ["/", overview.view],
  ["/calls", calls.view],
  ["/calls/:id", call.view],
  ["/personas", personas.view],
  ["/personas/:name", persona.view],
  ["/voices", voices.view],
  ["/voices/:name", voice.view],
  ["/numbers", numbers.view],
  ["/routes", routes.view],
  ["/routes/:name", route.view],
  ["/schedules", schedules.view],
  ["/schedules/:name", schedule.view],
  ["/trunks", trunks.view],
  ["/limits", limits.view],
  ["/workers", workers.view],
  ["/keys", keys.view],
  ["/sessions", sessions.view],
  ["/confirmed", confirmed.view],
  ["/webhooks", webhooks.view],
  ["/audit", audit.view],
  ["/unknown", async () => page({ title: "Not found", lead: "There is no page at this address." })],
];
