/**
 * Addresses under /admin, and the view that each one shows. Links work as links: the router takes
 * the clicks of those that stay in the console.
 *
 * A view is `async (place) => element`; `place.parts` are the variable pieces of its pattern,
 * `place.query` the search parameters, `place.leaving(fn)` is told when the view goes, and
 * `place.guard(fn)` may ask whether it may: a text keeps the person here unless they agree.
 */

const BASE = "/admin";

export class Router {
  #routes;
  #show;
  #leaving = [];
  #guard = null;
  #turn = 0;
  #here = "";

  /**
   * @param {[string, Function][]} routes patterns such as "/calls/:id", and views
   * @param {(view: Promise<Node>, pattern: string) => void} display
   */
  constructor(routes, display) {
    this.#routes = routes;
    this.#show = display;
    addEventListener("popstate", () => this.#back());
    addEventListener("click", (event) => this.#onClick(event));
    addEventListener("beforeunload", (event) => this.#guard?.() && event.preventDefault());
  }

  start() {
    this.#open();
  }

  /** Goes to an address of the console, such as "/calls". */
  go(address, { replace = false } = {}) {
    if (!this.#mayLeave()) return;
    history[replace ? "replaceState" : "pushState"](null, "", BASE + address);
    this.#open();
  }

  /** Changes the search parameters only: the view stays. */
  note(query) {
    const given = Object.entries(query).filter(([, value]) => value);
    const text = new URLSearchParams(given).toString();
    history.replaceState(null, "", location.pathname + (text ? `?${text}` : ""));
    this.#here = location.href;
  }

  /** Shows the present view again. */
  again() {
    this.#open();
  }

  #back() {
    if (this.#mayLeave()) this.#open();
    else history.pushState(null, "", this.#here);
  }

  #mayLeave() {
    const question = this.#guard?.();
    return !question || confirm(question);
  }

  #onClick(event) {
    const link = event.target.closest?.("a[href]");
    const special =
      event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    if (!link || special || event.defaultPrevented || link.target || link.hasAttribute("download"))
      return;
    const address = new URL(link.href);
    const ours = address.pathname === BASE || address.pathname.startsWith(`${BASE}/`);
    if (address.origin !== location.origin || !ours || address.hash) return;
    event.preventDefault();
    this.go(address.pathname.slice(BASE.length) + address.search);
  }

  /** Ends the present view; what it has loaded meanwhile is not shown. */
  leave() {
    for (const tell of this.#leaving.splice(0)) tell();
    this.#guard = null;
    this.#turn += 1;
  }

  #open() {
    this.leave();
    this.#here = location.href;
    const [turn, here] = [
      this.#turn,
      location.pathname.slice(BASE.length).replace(/\/$/, "") || "/",
    ];
    const [pattern, view, parts] = this.#find(here);
    const place = {
      parts,
      query: Object.fromEntries(new URLSearchParams(location.search)),
      leaving: (tell) => (turn === this.#turn ? this.#leaving.push(tell) : tell()),
      guard: (ask) => (this.#guard = ask),
      isHere: () => turn === this.#turn,
    };
    this.#show(view(place), pattern, place);
  }

  #find(here) {
    for (const [pattern, view] of this.#routes) {
      const parts = match(pattern, here);
      if (parts) return [pattern, view, parts];
    }
    const [pattern, view] = this.#routes.at(-1);
    return [pattern, view, {}];
  }
}

/** The variable pieces of an address that fits a pattern; null for one that does not. */
export function match(pattern, address) {
  const [wanted, given] = [pattern.split("/"), address.split("/")];
  if (wanted.length !== given.length) return null;
  const parts = {};
  for (const [index, piece] of wanted.entries()) {
    if (piece.startsWith(":")) parts[piece.slice(1)] = decoded(given[index]);
    else if (piece !== given[index]) return null;
  }
  return parts;
}

function decoded(piece) {
  try {
    return decodeURIComponent(piece);
  } catch {
    return piece; // a lone "%": no name of ours, and the API will say so
  }
}
