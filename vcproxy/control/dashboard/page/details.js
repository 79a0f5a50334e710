// The panel about one card: all its figures, its last minutes, and what can be done with it.

import { glyph, html, setAttribute, setGlyph, setText } from "./elements.js";
import { amount, duration } from "./format.js";
import { drawSpark, KEPT, shownOf, spark } from "./history.js";

const SURE_MS = 4000;  // how long a button waits for its second click

export class Details {
  #panel = document.getElementById("details");
  #main = document.querySelector("main");
  #id = null;
  #filled = null;  // the node whose buttons are shown

  constructor(closed) {
    this.closed = closed;
  }

  get id() {
    return this.#id;
  }

  /** Show the panel: what the picture has at once, and the rest when it has come. */
  open(node, values) {
    this.#id = node.id;
    this.#filled = null;
    this.glyph = glyph(node.level);
    this.title = html("span");
    this.note = html("p", "muted");
    this.problem = html("p", "problem");
    this.spark = spark();
    this.highest = html("span");
    this.span = html("span");
    this.facts = html("dl");
    this.result = html("p", "result");
    this.result.setAttribute("role", "status");
    this.rows = html("div", "scroll");
    const close = html("button", "close", "✕");
    close.type = "button";
    close.setAttribute("aria-label", "Close the details");
    close.addEventListener("click", () => this.close());
    this.axis = html("p", "axis", this.span, this.highest, html("span", "", "now"));
    this.actions = html("div", "actions");
    this.#panel.replaceChildren(html("h2", "", this.glyph, this.title, close), this.note, this.problem,
      this.spark, this.axis,
      this.actions, this.result, this.facts, this.rows);
    this.#panel.hidden = false;
    this.#main.classList.add("open");
    document.body.classList.add("with-details");
    this.show(node, values);
  }

  show(node, values) {
    setAttribute(this.#panel, "class", `level-${node.level}`);
    setGlyph(this.glyph, node.level);
    setAttribute(this.glyph, "class", `glyph level-${node.level}`);
    setText(this.title, node.title ?? node.name);
    setText(this.note, [node.kind, node.state, node.note].filter(Boolean).join(" · "));
    setText(this.problem, node.problem);
    setAttribute(this.spark, "class", node.rate === null ? "spark none" : "spark");
    setAttribute(this.axis, "class", node.rate === null ? "axis none" : "axis");
    drawSpark(this.spark, values, KEPT);
    setText(this.span, duration(shownOf(values, KEPT)));  // one value a second
    setText(this.highest, `highest ${amount(Math.max(0, ...values), "B/s")}`);
    this.#ask(node.id);
  }

  async #ask(id) {
    const response = await fetch(`details?${new URLSearchParams({ node: id })}`).catch(() => null);
    if (response?.ok && this.#id === id) this.#fill(await response.json());
  }

  #fill(node) {
    if (this.#id !== node.id) return;
    if (this.#filled !== node.id) {
      this.#filled = node.id;
      this.actions.replaceChildren(...node.actions.map((action) => this.#button(action)));
      if (node.connections) this.actions.append(this.#rowsButton(node.connections));
    }
    const texts = [["both directions", node.rate, "B/s"], ...node.facts].filter(([, value]) => value !== null && value !== "");
    while (this.facts.children.length > texts.length * 2) this.facts.lastChild.remove();
    texts.forEach(([label, value, unit], index) => {
      if (!this.facts.children[index * 2]) this.facts.append(html("dt"), html("dd"));
      setText(this.facts.children[index * 2], label);
      setText(this.facts.children[index * 2 + 1], amount(value, unit));
    });
  }

  close() {
    const id = this.#id;
    this.#id = null;
    this.#panel.hidden = true;
    this.#main.classList.remove("open");
    document.body.classList.remove("with-details");
    this.closed(id);
  }

  /** A button that changes something. Where that ends connections, it takes a second click. */
  #button({ label, about, command, body, sure }) {
    const button = html("button", "", label);
    button.type = "button";
    button.title = about;
    const first = () => {
      if (!sure || button.classList.contains("sure")) return this.#change(button, label, command, body);
      button.classList.add("sure");
      setText(button, `${label}: sure?`);
      setTimeout(() => this.#calm(button, label), SURE_MS);
      return undefined;
    };
    button.addEventListener("click", first);
    return button;
  }

  #calm(button, label) {
    button.classList.remove("sure");
    setText(button, label);
  }

  async #change(button, label, command, body) {
    this.#calm(button, label);
    button.disabled = true;
    try {
      const response = await fetch(`change/${command}`, {
        method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
      });
      const reply = await response.json();
      setText(this.result, `${label}: ${response.ok ? reply.list ?? "done" : reply.error}`);
    } catch (error) {
      setText(this.result, `${label}: the proxy did not answer (${error.message})`);
    } finally {
      button.disabled = false;
    }
  }

  #rowsButton(query) {
    const button = html("button", "", "Connections");
    button.type = "button";
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const response = await fetch(`connections?${new URLSearchParams(query)}`);
        const answer = await response.json();
        setText(this.result, response.ok ? (answer.rows.length ? "" : "no connection is open") : answer.error);
        if (response.ok) this.rows.replaceChildren(this.#table(answer.rows));
      } catch (error) {
        setText(this.result, `the proxy did not answer (${error.message})`);
      } finally {
        button.disabled = false;
      }
    });
    return button;
  }

  #table(rows) {
    if (!rows.length) return "";
    const head = html("tr", "", ...["client", "server", "state", "age", "bytes", ""].map((name) => html("th", "", name)));
    const body = rows.map((row) => html("tr", "",
      html("td", "", row.client), html("td", "", row.server || "–"), html("td", "", row.state),
      html("td", "figure", amount(row.age, "s")), html("td", "figure", amount(row.bytes, "B")),
      html("td", "", this.#kill(row.id))));
    return html("table", "", html("thead", "", head), html("tbody", "", ...body));
  }

  #kill(id) {
    const button = this.#button({ label: "end", about: `End the connection ${id}`, command: "KILL", body: { conn: id }, sure: true });
    button.classList.add("row-action");
    return button;
  }
}
