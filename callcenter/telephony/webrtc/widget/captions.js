/** The agent's words as they come, a paragraph for each time that it speaks. */

const NEW_PARAGRAPH_MS = 1_500;
const KEPT_PARAGRAPHS = 50;

export class Captions {
  #box;
  #lastAt = -Infinity;

  /** @param {HTMLElement} box scrolls; holds the paragraphs */
  constructor(box) {
    this.#box = box;
  }

  clear() {
    this.#box.replaceChildren();
    this.#lastAt = -Infinity;
  }

  add(text, now = performance.now()) {
    const line = now - this.#lastAt > NEW_PARAGRAPH_MS ? this.#begin() : this.#box.lastElementChild;
    this.#lastAt = now;
    const reading = this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight > 48;
    line.textContent = (line.textContent + text).replace(/\s+/g, " ").trimStart();
    if (!reading) this.#box.scrollTop = this.#box.scrollHeight;
  }

  #begin() {
    while (this.#box.childElementCount >= KEPT_PARAGRAPHS) this.#box.firstElementChild.remove();
    return this.#box.appendChild(document.createElement("p"));
  }
}
