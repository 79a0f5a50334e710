// The cards: one for each listener, plugin, server and sink, in rows: a listener, its plugin, and what
// that connects it to. A card is kept as long as what it shows.

import { glyph, html, setAttribute, setChildren, setGlyph, setText, svg } from "./elements.js";
import { amount } from "./format.js";
import { drawSpark, spark } from "./history.js";

const TALL = 7;  // cards beside one listener from which it is at their top, not in their middle

class Card {
  constructor(id, choose) {
    this.glyph = glyph("idle");
    this.name = html("span", "name");
    this.rate = html("span", "rate");
    this.state = html("span", "state");
    this.note = html("span");
    this.spark = spark();
    this.meter = this.parts = null;
    this.second = html("span", "second", html("span", "text", this.state, this.note), this.spark);
    this.element = html("button", "node", html("span", "first", this.glyph, this.name, this.rate), this.second);
    this.element.type = "button";
    this.element.dataset.id = id;
    this.element.tabIndex = -1;
    this.element.addEventListener("click", () => choose(id));
  }

  show(node, values) {
    setAttribute(this.element, "class", `node level-${node.level}`);
    setGlyph(this.glyph, node.level);
    setText(this.name, node.name);
    setAttribute(this.name, "title", node.name);
    setText(this.rate, node.rate === null ? "" : amount(node.rate, "B/s"));
    const figures = node.figures.map(([label, value, unit]) => `${amount(value, unit)}${label ? ` ${label}` : ""}`);
    const text = [...figures, node.note].filter(Boolean).join(" · ");
    this.element.dataset.column = node.column;
    setText(this.state, node.state);
    setAttribute(this.second, "class", text || node.state || node.rate !== null ? "second" : "second empty");
    setText(this.note, (node.state && text ? " · " : "") + text);
    setAttribute(this.spark, "visibility", node.rate === null ? "hidden" : "visible");
    drawSpark(this.spark, values, 60);
    this.#showMeter(node.meter);
    this.#showParts(node.parts);
  }

  #showMeter(meter) {
    if (!meter) return this.meter = this.#without(this.meter);
    if (!this.meter) {
      this.meter = html("span", "meter", html("span"), bar(1), html("span", "amount"));
      this.element.append(this.meter);
    }
    const [label, , amounts] = this.meter.children;
    setText(label, meter.label);
    setAttribute(this.meter.querySelector("rect"), "width", (100 * Math.min(1, meter.value / (meter.limit || 1))).toFixed(1));
    setText(amounts, meter.limit ? `${amount(meter.value, meter.unit)} of ${amount(meter.limit, meter.unit)}` : amount(meter.value, meter.unit));
  }

  #showParts(parts) {
    if (!parts.length) return this.parts = this.#without(this.parts);
    if (!this.parts) {
      this.parts = html("span", "parts", bar(4), html("span", "names"));
      this.element.append(this.parts);
    }
    const whole = parts.reduce((sum, [, count]) => sum + count, 0) || 1;
    let x = 0;
    this.parts.querySelectorAll("rect").forEach((rect, index) => {
      const width = 100 * (parts[index]?.[1] ?? 0) / whole;
      setAttribute(rect, "x", x.toFixed(2));
      setAttribute(rect, "width", width.toFixed(2));
      x += width;
    });
    setText(this.parts.lastChild, parts.map(([name, count]) => `${name} ${amount(count, "")}`).join(" · "));
  }

  #without(element) {
    element?.remove();
    return null;
  }
}

/** Drop what is not kept. */
function forget(map, kept) {
  for (const key of map.keys()) if (!kept.has(key)) map.delete(key);
}

/** A bar of shares that is 100 wide. */
function bar(shares) {
  const drawn = svg("svg", { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" });
  for (let index = 0; index < shares; index += 1) {
    drawn.append(svg("rect", { class: shares > 1 ? `shade-${index}` : "", height: 6, width: 0 }));
  }
  return drawn;
}

/** All cards, in their rows. */
export class Nodes {
  #cards = new Map();
  #groups = new Map();
  #rows = new Map();
  #parent = document.getElementById("rows");

  constructor(choose) {
    this.choose = choose;
    this.#parent.addEventListener("keydown", (event) => this.#moved(event));
  }

  element(id) {
    return this.#cards.get(id)?.element;
  }

  show(nodes, history) {
    const rows = new Map(), items = new Map();
    for (const node of nodes) {
      if (!rows.has(node.row)) rows.set(node.row, [[], [], []]);
      const cell = rows.get(node.row)[node.column];
      const card = this.#card(node);
      card.show(node, history.of(node.id));
      if (!node.group) {
        cell.push(card.element);
      } else if (items.has(node.group.id)) {
        items.get(node.group.id).push(card.element);
      } else {
        items.set(node.group.id, [card.element]);
        cell.push(this.#group(node.group));
      }
    }
    forget(this.#cards, new Set(nodes.map((node) => node.id)));
    forget(this.#groups, items);
    forget(this.#rows, rows);
    for (const [id, cards] of items) setChildren(this.#groups.get(id).lastChild, cards);
    setChildren(this.#parent, [...rows].map(([name, cells]) => this.#row(name, cells)));
    this.#letOneHaveTabs();
  }

  #card(node) {
    let card = this.#cards.get(node.id);
    if (!card) this.#cards.set(node.id, card = new Card(node.id, this.choose));
    return card;
  }

  #row(name, cells) {
    let row = this.#rows.get(name);
    if (!row) {
      row = html("section", "", ...cells.map((_, index) => html("div", `cell cell-${index}`)));
      row.setAttribute("aria-label", name ? `${name} and what it is connected to` : "not connected to a listener");
      this.#rows.set(name, row);
    }
    cells.forEach((children, index) => setChildren(row.children[index], children));
    const tall = row.children[2].querySelectorAll(".node").length > TALL;
    setAttribute(row, "class", tall ? "row tall" : "row");
    return row;
  }

  #group(group) {
    let element = this.#groups.get(group.id);
    if (!element) {
      element = html("section", "group", html("h3", "", html("span"), " ", html("small")), html("div", "items"));
      this.#groups.set(group.id, element);
    }
    setText(element.firstChild.firstChild, group.name);
    setText(element.firstChild.lastChild, group.note);
    return element;
  }

  // The picture is one stop of the Tab key; the arrows move within it.

  #letOneHaveTabs() {
    const cards = this.#inColumns().flat();
    if (cards.length && !cards.some((card) => card.tabIndex === 0)) cards[0].tabIndex = 0;
  }

  #inColumns() {
    return [0, 1, 2].map((column) => [...this.#parent.querySelectorAll(`.node[data-column="${column}"]`)]);
  }

  #moved(event) {
    const step = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    const from = event.target.closest(".node");
    if (!step || !from) return;
    event.preventDefault();
    const columns = this.#inColumns();
    const column = columns.findIndex((cards) => cards.includes(from));
    let to = columns[column][columns[column].indexOf(from) + step[1]];
    if (step[0]) {
      const others = columns[column + step[0]] ?? [];
      const middle = (card) => card.getBoundingClientRect().top + card.offsetHeight / 2;
      to = others.reduce((best, card) =>
        !best || Math.abs(middle(card) - middle(from)) < Math.abs(middle(best) - middle(from)) ? card : best, null);
    }
    if (to) {
      from.tabIndex = -1;
      to.tabIndex = 0;
      to.focus();
    }
  }
}
