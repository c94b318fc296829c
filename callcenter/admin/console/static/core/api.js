/**
 * The API under /v1, in the session of the cookie. Refusals are `Problem`s (RFC 9457).
 * It knows no page; whoever listens to "logged-out" shows the door.
 */

export class Problem extends Error {
  /** @param {{status: number, code: string, detail: string, errors?: object[], users?: string[]}} body */
  constructor({ status, code, detail, errors = [], users = [] }) {
    super(detail);
    Object.assign(this, { status, code, detail, errors, users });
  }
}

export const events = new EventTarget();

/** Set by main.js. `proveAgain` has a person log in again for what needs a fresh log-in. */
export const hooks = { proveAgain: null };

const AWAY_MS = 60_000; // a page that looks again by itself does not keep the session alive

let csrf = null;
let touched_ms = Date.now();

for (const kind of ["pointerdown", "pointermove", "keydown", "wheel"])
  addEventListener(kind, () => (touched_ms = Date.now()), { capture: true, passive: true });

/** Who is logged in; null for nobody. */
export async function whoAmI() {
  try {
    const session = await call("GET", "/v1/session");
    csrf = session.csrf_token;
    return session;
  } catch (problem) {
    if (problem.status === 401) return null;
    throw problem;
  }
}

/** Begins a session. */
export async function logIn(secret) {
  const session = await call("POST", "/v1/session", { secret });
  csrf = session.csrf_token;
  return session;
}

/** Ends it. */
export async function logOut() {
  await call("DELETE", "/v1/session");
  csrf = null;
}

export const get = (path, query) => call("GET", withQuery(path, query));
export const post = (path, body = {}) => call("POST", path, body);
export const remove = (path, tag) => call("DELETE", path, undefined, tag);

/** An object and the tag that a change of it must be based on. */
export async function getTagged(path) {
  const response = await send("GET", path);
  return { value: await response.json(), tag: response.headers.get("ETag") };
}

/** Changes an object, if it is still as it was read. */
export async function change(method, path, body, tag) {
  const response = await send(method, path, body, tag);
  return { value: await response.json(), tag: response.headers.get("ETag") };
}

/** All items of a list, over as many pages as there are, up to a bound. */
export async function all(path, query = {}, most = 2_000) {
  const items = [];
  let cursor = "";
  do {
    const page = await get(path, { ...query, cursor, limit: 200 });
    items.push(...page.items);
    cursor = page.next_cursor ?? "";
  } while (cursor && items.length < most);
  return items;
}

/** A path with its variable pieces made harmless: path`/v1/personas/${name}`. */
export function path(strings, ...values) {
  return String.raw({ raw: strings }, ...values.map(encodeURIComponent));
}

async function call(method, address, body, tag) {
  const response = await send(method, address, body, tag);
  return response.status === 204 ? null : response.json();
}

async function send(method, address, body, tag) {
  const headers = {};
  if (Date.now() - touched_ms > AWAY_MS) headers["X-Unattended"] = "true";
  if (method !== "GET" && csrf) headers["X-CSRF-Token"] = csrf;
  if (tag) headers["If-Match"] = tag;
  const form = body instanceof FormData;
  if (body !== undefined && !form) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(address, {
      method,
      headers,
      body: form ? body : body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
    });
  } catch {
    events.dispatchEvent(new Event("unreachable"));
    throw new Problem({ status: 0, code: "unreachable", detail: "The admin app cannot be reached. Check your connection." });
  }
  events.dispatchEvent(new Event("reachable"));
  if (response.ok) return response;
  const problem = await refusal(response, address);
  if (problem.code === "log_in_again" && (await hooks.proveAgain()))
    return send(method, address, body, tag);
  throw problem;
}

async function refusal(response, address) {
  const body = await response.json().catch(() => ({}));
  const status = response.status;
  if (status === 401 && !/\/session(:confirm)?$/.test(address))
    events.dispatchEvent(new Event("logged-out"));
  const errors = (body.errors ?? []).map((error) => ({ ...error, pointer: inForm(error.pointer) }));
  return new Problem({
    code: "other",
    detail: `The admin app could not answer (status ${status}). Try again.`,
    ...body,
    errors,
    status,
  });
}

/** A mistake's place within the object that a form shows: the request's wrapping is left out. */
const inForm = (pointer = "") =>
  pointer.replace(/^\/body(?=\/|$)/, "").replace(/^\/(draft|content)(?=\/|$)/, "");

/** A path with those parameters that have a value. */
export function withQuery(address, query = {}) {
  const given = Object.entries(query).filter(
    ([, value]) => value !== "" && value !== null && value !== undefined,
  );
  return given.length ? `${address}?${new URLSearchParams(given)}` : address;
}
