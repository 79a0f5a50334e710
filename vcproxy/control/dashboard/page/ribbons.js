// The ribbons between cards. Their width grows with the square root of the bytes a second, so that a
// small flow is still seen beside a large one, and scales to the largest of the last minutes.

import { setAttribute, setChildren, svg } from "./elements.js";

const WIDEST = 30, NARROWEST = 2.5;
const WIDEST_OF_TREE = 9;  // in a narrow window
const STREAMS = 5;  // pixels from which a ribbon shows its direction: a narrower one would look broken
const SETTLES = 0.98;  // of the scale remains after each picture, so that it does not jump

export class Ribbons {
  #drawn = new Map();
  #svg = document.getElementById("ribbons");
  #scale = 1;
  #near = new Set();

  constructor(nodes) {
    this.nodes = nodes;
    this.links = [];
    new ResizeObserver(() => this.draw()).observe(document.getElementById("picture"));
  }

  show(links) {
    this.links = links;
    this.#scale = Math.max(this.#scale * SETTLES, 1, ...links.map((link) => link.rate));
    this.draw();
  }

  /** Fade all ribbons but those that lead to one card and from it; null: none. */
  choose(id) {
    this.chosen = id;
    this.draw();
  }

  draw() {
    this.#near = near(this.links, this.chosen);
    const box = this.#svg.getBoundingClientRect();
    const place = (id) => {
      const element = this.nodes.element(id);
      const rect = element?.getBoundingClientRect();
      return rect && { row: element.closest(".row"), left: rect.left - box.left, right: rect.right - box.left, top: rect.top - box.top, height: rect.height };
    };
    const links = this.links.map((link) => ({ ...link, a: place(link.source), b: place(link.to) })).filter((link) => link.a && link.b);
    const tree = links.some((link) => link.b.left < link.a.right);  // a narrow window: page.css
    const widest = tree ? WIDEST_OF_TREE : WIDEST;
    for (const link of links) {
      link.crosses = link.b.row !== link.a.row;
      link.width = link.rate > 0 ? Math.max(NARROWEST, widest * Math.sqrt(link.rate / this.#scale)) : 0;
    }
    spread(links, "source", "a", tree);
    spread(links, "to", "b", tree);
    const crossing = tree && links.some((link) => link.crosses);
    document.getElementById("picture").classList.toggle("crossing", crossing);
    const elements = links.flatMap((link, index) => this.#elements(link, index, tree));
    const kept = new Set(links.map((link) => `${link.source} ${link.to}`));
    for (const key of this.#drawn.keys()) if (!kept.has(key)) this.#drawn.delete(key);
    setChildren(this.#svg, elements);
    this.#svg.classList.toggle("chosen", links.some((link) => this.#isNear(link)));
  }

  #isNear(link) {
    return this.#near.has(`${link.source} ${link.to}`);
  }

  #elements(link, index, tree) {
    const key = `${link.source} ${link.to}`;
    let pair = this.#drawn.get(key);
    if (!pair) this.#drawn.set(key, pair = [svg("path"), svg("path")]);
    const [ribbon, stream] = pair;
    const broken = link.level === "bad" || link.level === "off";
    const near = this.#isNear(link) ? " near" : "";
    const flowing = link.width > 0;
    setAttribute(ribbon, "class", `ribbon level-${link.level}${near}${flowing ? "" : broken ? " broken" : " still"}`);
    setAttribute(stream, "class", `stream level-${link.level}${near}`);
    const path = !tree ? across(link) : link.crosses ? detour(link, index) : branch(link);
    setAttribute(ribbon, "d", flowing ? path.band : path.line);
    setAttribute(stream, "d", link.width >= STREAMS ? path.line : "");
    setAttribute(stream, "stroke-width", Math.max(1.2, Math.min(3, link.width / 4)));
    return pair;
  }
}

/** The links that lead to a card, and those that lead on from it. */
function near(links, chosen) {
  const found = new Set();
  const follow = (id, from, to) => {
    for (const link of links) {
      const key = `${link.source} ${link.to}`;
      if (link[from] !== id || found.has(key)) continue;
      found.add(key);
      follow(link[to], from, to);
    }
  };
  if (chosen) {
    follow(chosen, "source", "to");
    follow(chosen, "to", "source");
  }
  return found;
}

/** Place the ends of links at their cards: beside one another, around the middle of the card. */
function spread(links, key, side, tree) {
  const ends = new Map();
  for (const link of links) ends.set(link[key], [...(ends.get(link[key]) ?? []), link]);
  const other = side === "a" ? "b" : "a";
  for (const sharing of ends.values()) {
    sharing.sort((one, two) => one[other].top - two[other].top);
    const card = sharing[0][side];
    const widths = sharing.map((link) => Math.max(link.width, 2));
    const whole = widths.reduce((sum, width) => sum + width + 1, -1);
    const squeeze = Math.min(1, (card.height - 10) / whole);
    let at = card.top + card.height / 2 - whole * squeeze / 2;
    sharing.forEach((link, index) => {
      link[`${side}y`] = at + widths[index] * squeeze / 2;
      link[`${side}width`] = Math.max(Math.min(link.width, NARROWEST), link.width * squeeze);
      at += (widths[index] + 1) * squeeze;
    });
    if (tree) for (const link of sharing) link[`${side}width`] = Math.min(link[`${side}width`], WIDEST_OF_TREE);
  }
}

/** From the right edge of a card to the left edge of another. */
function across({ a, b, ay, by, awidth, bwidth }) {
  const x = a.right, z = b.left, bend = (z - x) * 0.5;
  const curve = (from, to) => `C${x + bend} ${from} ${z - bend} ${to} ${z} ${to}`;
  const back = (from, to) => `C${z - bend} ${from} ${x + bend} ${to} ${x} ${to}`;
  return {
    line: `M${x} ${ay}${curve(ay, by)}`,
    band: `M${x} ${ay - awidth / 2}${curve(ay - awidth / 2, by - bwidth / 2)}V${by + bwidth / 2}${back(by + bwidth / 2, ay + awidth / 2)}Z`,
  };
}

/** From below the left end of a card to the left edge of one below it that stands further right. */
function branch({ a, b, by, width }) {
  const half = Math.max(width, 1) / 2;
  const x = a.left + 13, top = a.top + a.height, turn = Math.min(9, (by - top) / 2);
  const there = (inset) => `V${by - inset - turn}Q${x + inset} ${by - inset} ${x + inset + turn} ${by - inset}H${b.left}`;
  const back = (inset) => `V${by - inset}H${x + inset + turn}Q${x + inset} ${by - inset} ${x + inset} ${by - inset - turn}V${top}Z`;
  return { line: `M${x} ${top}${there(0)}`, band: `M${x + half} ${top}${there(half)}${back(-half)}` };
}

/** Between left edges of cards far from one another, through the gutter at the left of all. */
function detour({ a, b, ay, by, width }, index) {
  const half = Math.max(width, 1) / 2;
  const lane = 5 + 4 * (index % 4), down = Math.sign(by - ay) || 1;
  const turn = Math.min(9, Math.abs(by - ay) / 2) * down;
  const path = (inset) => {
    const y = ay + inset * down, z = by - inset * down, x = lane + inset;
    return [`${a.left} ${y}H${x + 9}Q${x} ${y} ${x} ${y + turn}V${z - turn}Q${x} ${z} ${x + 9} ${z}H${b.left}`,
      `${b.left} ${z}H${x + 9}Q${x} ${z} ${x} ${z - turn}V${y + turn}Q${x} ${y} ${x + 9} ${y}H${a.left}`];
  };
  return { line: `M${path(0)[0]}`, band: `M${path(-half)[0]}L${path(half)[1]}Z` };
}
