/** The persona editor: form, check as one types, test call, publishing, versions. */

import { all, change, getTagged, path, post, remove } from "../core/api.js";
import { go, may } from "../core/app.js";
import { debounced, h, show } from "../core/dom.js";
import { conflictNote } from "../parts/conflict.js";
import { copyable } from "../parts/copy.js";
import { sure } from "../parts/dialog.js";
import { attempt, problemNote, toast } from "../parts/feedback.js";
import * as form from "../parts/form.js";
import { contentOf, editable, personaForm } from "../parts/persona_form.js";
import { checkCard, testCard } from "../parts/persona_side.js";
import { publishDraft, versionCard } from "../parts/versions.js";
import { button, page } from "../parts/page.js";
import { publishedBadge } from "./personas.js";

const TYPING_MS = 250;

export async function view(place) {
  const address = path`/v1/personas/${place.parts.name}`;
  const [{ value, tag }, voices] = await Promise.all([getTagged(address), all("/v1/voices")]);
  const editor = new Editor(address, value, tag, voices);
  place.guard(() =>
    editor.dirty ? "The draft has unsaved changes. Leave without saving?" : "",
  );
  await editor.begin();
  return editor.element;
}

class Editor {
  #address;
  #persona;
  #tag;
  #value;
  #saved;
  #form;
  #check = checkCard(() => contentOf(this.#value));
  #versions;
  #badge = h("span");
  #trouble = h("div", { hidden: true });
  #save = button("Save draft", () => this.save(), { disabled: true });
  #saving = null;
  #checks = 0;
  #later = debounced(TYPING_MS, () => this.#validate());

  constructor(address, persona, tag, voices) {
    Object.assign(this, { element: null });
    [this.#address, this.#persona, this.#tag] = [address, persona, tag];
    this.#value = editable(persona.draft);
    this.#saved = this.#text();
    this.#save.dataset.key = "save";
    this.#save.title = "Ctrl + S";
    this.#form = personaForm(this.#value, voices, () => this.#onChange());
    this.#versions = versionCard(persona.name, (changed) => this.#onPublished(changed));
    this.element = this.#draw();
  }

  get dirty() {
    return this.#text() !== this.#saved;
  }

  async begin() {
    if (!may("admin")) for (const control of this.#form.elements) control.disabled = true;
    show(this.#badge, publishedBadge(this.#persona));
    await Promise.all([this.#validate(), this.#versions.draw(this.#persona)]);
  }

  /** Saves what is on the screen, one time after the other; whether that went well. */
  save() {
    this.#saving ??= this.#store().finally(() => (this.#saving = null));
    return this.#saving;
  }

  async #store() {
    if (!this.dirty) return true;
    const text = this.#text();
    this.#trouble.hidden = true;
    try {
      const { value, tag } = await change(
        "PUT",
        `${this.#address}/draft`,
        JSON.parse(text),
        this.#tag,
      );
      [this.#persona, this.#tag, this.#saved] = [value, tag, text];
      this.#onChange();
      toast("The draft is saved.");
      return true;
    } catch (problem) {
      if (problem.status === undefined) throw problem;
      this.#refused(problem);
      return false;
    }
  }

  #draw() {
    const { name, title } = this.#persona;
    const publish = button("Publish …", () => this.#publish(), {
      tone: "primary",
      disabled: !may("admin"),
    });
    return page(
      {
        title,
        lead: h("span", { class: "row" }, copyable(name, { what: "name", shape: "code small" }), this.#badge),
        back: ["/personas", "Personas"],
        actions: [this.#save, publish],
      },
      this.#trouble,
      h(
        "div",
        { class: "columns" },
        this.#form,
        h(
          "div",
          { class: "stack" },
          this.#check.element,
          testCard(
            name,
            () => this.#value.title,
            () => this.save(),
          ),
          this.#versions.element,
          h("div", { class: "row" }, ...this.#endings()),
        ),
      ),
    );
  }

  #endings() {
    const disabled = !may("admin");
    const { archived } = this.#persona;
    return [
      archived
        ? button("Restore", () => this.#order("restore", "The persona is restored."), {
            tone: "small",
            disabled,
          })
        : button("Archive", () => this.#archive(), { tone: "small", disabled }),
      button("Delete", () => this.#delete(), { tone: "small plain", disabled }),
    ];
  }

  #text() {
    return JSON.stringify(contentOf(this.#value));
  }

  #onChange() {
    this.#save.disabled = !this.dirty || !may("admin");
    this.#later();
  }

  async #validate() {
    const mine = (this.#checks += 1);
    try {
      const report = await post("/v1/personas:validate", { content: contentOf(this.#value) });
      if (mine !== this.#checks) return;
      this.#check.draw(report);
      form.clear(this.#form);
      for (const { pointer, detail } of report.errors) {
        const target = form.nearest(this.#form, pointer);
        if (target) form.mark(target, detail);
      }
    } catch (problem) {
      if (problem.status === undefined) throw problem;
      show(this.#check.element, h("h2", {}, "Check"), problemNote(problem));
    }
  }

  async #publish() {
    if (!(await this.save())) return;
    await attempt(() => publishDraft(this.#persona, (changed) => this.#onPublished(changed)));
  }

  #onPublished(changed) {
    this.#persona = changed;
    this.#tag = `"${changed.revision}"`;
    show(this.#badge, publishedBadge(changed));
    attempt(() => this.#versions.draw(changed));
  }

  #refused(problem) {
    this.#trouble.hidden = false;
    show(this.#trouble, problem.status === 412 ? this.#conflict() : problemNote(problem));
    this.#trouble.scrollIntoView({ block: "nearest" });
  }

  #conflict() {
    return conflictNote("persona", this.#address, {
      loadTheirs: () => this.#loadTheirs(),
      saveMine: (tag) => {
        this.#tag = tag;
        return this.save();
      },
    });
  }

  #loadTheirs() {
    this.#saved = this.#text(); // the person has agreed to lose it
    go(location.pathname.slice("/admin".length), { replace: true });
  }

  async #archive() {
    const text = "It stops answering new calls. Its history stays, and you can restore it.";
    if (
      await sure("Archive this persona?", text, "Archive", () => post(`${this.#address}/archive`))
    )
      go("/personas");
  }

  async #order(what, done) {
    if (await attempt(() => post(`${this.#address}/${what}`), done)) this.#loadTheirs();
  }

  async #delete() {
    const text = "This deletes its draft and all its versions. Archive it instead to keep them.";
    const gone = await sure("Delete this persona?", text, "Delete", () =>
      remove(this.#address, this.#tag),
    );
    if (!gone) return;
    this.#saved = this.#text();
    go("/personas");
  }
}
