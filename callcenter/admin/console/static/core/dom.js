/**
 * Makes elements. Text is only ever put on the page as text nodes and attributes as attributes:
 * nothing in the console parses markup, so nothing that a person wrote can become any.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag
 * @param {object} props attributes; `class`, `on: {event: handler}`, `vars: {"--x": value}` and
 *   `data: {name: value}` are special; null, undefined and false leave an attribute out
 * @param {...(Node|string|number|null|Array)} children
 */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) set(element, name, value);
  add(element, children);
  return element;
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "on") {
    for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
  } else if (name === "vars") {
    for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
  } else if (name === "data") {
    for (const [key, one] of Object.entries(value)) {
      if (one !== null && one !== undefined && one !== false) element.dataset[key] = one;
    }
  } else if (name === "value" && "value" in element) {
    element.value = value;
  } else {
    element.setAttribute(name, value === true ? "" : value);
  }
}

function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

/** Replaces what is in an element; a link that the keyboard stands on keeps it, if it is still there. */
export function show(element, ...children) {
  const focused = document.activeElement;
  const href = element.contains(focused) && focused.getAttribute("href");
  element.replaceChildren();
  add(element, children);
  if (href) element.querySelector(`[href="${CSS.escape(href)}"]`)?.focus({ preventScroll: true });
  return element;
}

/** Calls a function once it was quiet for a while. */
export function debounced(wait_ms, call) {
  let timer = null;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...values), wait_ms);
  };
}

let ids = 0;

/** An id that no other element has. */
export function freshId(prefix = "x") {
  ids += 1;
  return `${prefix}-${ids}`;
}
