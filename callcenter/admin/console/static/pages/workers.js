/** Workers: who has slots, how busy they are, and draining. Looks again by itself. */

import { get, path, post } from "../core/api.js";
import { may } from "../core/app.js";
import { h, show } from "../core/dom.js";
import { count, plural } from "../core/format.js";
import { copyable } from "../parts/copy.js";
import { sure } from "../parts/dialog.js";
import { toast } from "../parts/feedback.js";
import { badge, button, empty, page, table } from "../parts/page.js";

const EVERY_MS = 3_000;
const STALE_S = 3;

export async function view(place) {
  const [pools, list] = [h("dl", { class: "tiles" }), h("section", { class: "card flush" })];
  let shown = "";
  const look = async () => {
    const [foundPools, workers] = await Promise.all([get("/v1/pools"), get("/v1/workers")]);
    if (!place.isHere()) return;
    const text = JSON.stringify([
      foundPools,
      workers.map((worker) => ({ ...worker, heartbeat_age_s: stale(worker) })),
    ]);
    if (text === shown) return; // what a keyboard stands on stays
    shown = text;
    show(pools, ...foundPools.map(tile));
    show(
      list,
      workers.length === 0 ? empty("No workers yet. Start one with “python -m callcenter worker”.") : workerTable(workers, look),
    );
  };
  await look();
  const timer = setInterval(() => look().catch(() => {}), EVERY_MS); // the next look may succeed
  place.leaving(() => clearInterval(timer));
  return page(
    { title: "Workers", lead: "Each worker answers as many calls at once as it has slots." },
    pools,
    list,
  );
}

const stale = ({ heartbeat_age_s }) => heartbeat_age_s > STALE_S;

const tile = (pool) =>
  h(
    "div",
    { class: "tile" },
    h("dt", {}, `Pool ${pool.name}`),
    h(
      "dd",
      {},
      `${count(pool.used)} of ${count(pool.slots)}`,
      h(
        "small",
        {},
        `slots in use, on ${plural(pool.workers, "worker")}${pool.draining ? `, ${pool.draining} draining` : ""}`,
      ),
    ),
  );

const workerTable = (workers, look) =>
  table(
    "Workers",
    [
      [
        "Worker",
        (worker) => [
          copyable(worker.id, { what: "worker id", shape: "strong" }),
          h("div", { class: "small faint code" }, worker.url),
        ],
      ],
      ["Engine", (worker) => [worker.kind, h("div", { class: "small faint" }, worker.model)]],
      ["State", (worker) => state(worker)],
      ["Slots", slots, "one-line"],
      ["Prompts loaded", (worker) => plural(worker.primed.length, "prompt"), "one-line"],
      [
        "Tick p99",
        (worker) => (worker.tick_p99_ms ? `${worker.tick_p99_ms.toFixed(1)} ms` : "–"),
        "to-end one-line",
      ],
      ["", (worker) => drainButton(worker, look), "to-end"],
    ],
    workers,
  );

function state(worker) {
  if (stale(worker)) return badge("not responding", "danger");
  return worker.state === "draining" ? badge("draining", "warning") : badge("ready", "good");
}

const slots = ({ used, slots: all }) =>
  h(
    "div",
    { class: "budget" },
    h("span", { class: "number" }, `${used} of ${all}`),
    h("div", { class: "track", vars: { "--share": all ? used / all : 0 } }, h("i")),
  );

const drainButton = (worker, look) =>
  button("Drain", () => drain(worker, look), {
    tone: "small",
    disabled: worker.state === "draining" || !may("operator"),
  });

async function drain(worker, look) {
  const text = "It takes no new calls and finishes the live ones. Restart it to take calls again.";
  if (
    !(await sure(`Drain ${worker.id}?`, text, "Drain", () =>
      post(path`/v1/workers/${worker.id}/drain`),
    ))
  )
    return;
  toast("The worker is draining.");
  await look();
}
