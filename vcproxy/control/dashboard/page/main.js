// The page: takes a picture of the proxy each second, as server-sent events, and draws it.

import { Details } from "./details.js";
import { glyph, html, setAttribute, setChildren, setGlyph, setText } from "./elements.js";
import { amount, duration } from "./format.js";
import { drawSpark, History, spark } from "./history.js";
import { Nodes } from "./nodes.js";
import { Ribbons } from "./ribbons.js";

const LATE_MS = 5000;  // a picture comes each second

const history = new History();
const nodes = new Nodes(choose);
const ribbons = new Ribbons(nodes);
const details = new Details(closed);
const totals = new Map();
let picture = null;
let at = 0;

// -- what is shown ------------------------------------------------------------------------------

function show(next) {
  picture = next;
  at = Date.now();
  if (picture.seconds) history.add(new Map([  // the first picture has no rates
    ...picture.nodes.map((node) => [node.id, node.rate]),
    ...picture.totals.map((total) => [`total ${total.label}`, total.value]),
  ]));
  showProcess(picture.process);
  showTotals(picture.totals);
  showProblems(picture.problems);
  nodes.show(picture.nodes, history);
  ribbons.show(picture.links);
  showRefusals(picture.refusals);
  const chosen = find(details.id);
  document.body.dataset.pictures = Number(document.body.dataset.pictures ?? 0) + 1;
  if (chosen) details.show(chosen, history.of(chosen.id));
  else if (details.id) details.close();
}

/** The node with an id; the proxy itself is one too. */
function find(id) {
  return id === picture.process.id ? picture.process : picture.nodes.find((node) => node.id === id);
}

function showProcess(process) {
  const figures = process.figures.map(([label, value, unit]) => `${label} ${amount(value, unit)}`);
  setText(document.getElementById("process"), [process.state, process.note, ...figures].filter(Boolean).join(" · "));
}

function showTotals(shown) {
  setChildren(document.getElementById("totals"), shown.map((total) => {
    let parts = totals.get(total.label);
    if (!parts) {
      parts = { value: html("p", "value"), spark: spark() };
      parts.element = html("div", "total", html("p", "label", total.label), parts.value, parts.spark);
      totals.set(total.label, parts);
    }
    setAttribute(parts.element, "class", `total level-${total.level}`);
    setText(parts.value, amount(total.value, total.unit));
    setAttribute(parts.element, "title", total.about);
    drawSpark(parts.spark, history.of(`total ${total.label}`));
    return parts.element;
  }));
}

const problemElements = new Map();

function showProblems(problems) {
  const counts = new Map();
  const children = problems.map((problem) => {
    const about = `${problem.about} ${problem.level}`;  // not its text: that has figures
    counts.set(about, (counts.get(about) ?? 0) + 1);
    const key = `${about} ${counts.get(about)}`;
    let element = problemElements.get(key);
    if (!element) {
      element = html("button", "", glyph(problem.level), html("span"));
      element.type = "button";
      element.addEventListener("click", () => choose(problem.about, true));
      problemElements.set(key, element);
    }
    setAttribute(element, "class", `level-${problem.level}`);
    setText(element.lastChild, problem.text);
    return element;
  });
  for (const [key, element] of problemElements) if (!children.includes(element)) problemElements.delete(key);
  if (!children.length) {
    const calm = document.querySelector("#problems p") ?? html("p", "", glyph("good"), html("span"));
    setText(calm.lastChild, "Everything is in order.");
    children.push(calm);
  }
  setChildren(document.getElementById("problems"), children);
}

function showRefusals(refusals) {
  setText(document.getElementById("refusals-count"), refusals.length ? `(the last ${refusals.length})` : "(none)");
  const list = document.getElementById("refusals-list");
  const key = JSON.stringify(refusals);
  if (list.dataset.shown === key) return;
  list.dataset.shown = key;
  list.replaceChildren(...refusals.map((refusal) => html("div", "refusal",
    html("p", "", `${refusal.listener}: ${refusal.client}: ${refusal.reason}`),
    ...(refusal.text ? [html("pre", "", refusal.text + (refusal.mark === null ? "" : `\n${" ".repeat(refusal.mark)}^`))] : []))));
}

// -- choosing a card ------------------------------------------------------------------------------

function choose(id, into = false) {
  if (details.id === id && !into) return details.close();
  const node = find(id);
  if (!node) return undefined;
  pressed(details.id, false);
  details.open(node, history.of(id));
  pressed(id, true);
  ribbons.choose(id);
  if (into) nodes.element(id)?.scrollIntoView({ block: "nearest" });
  return undefined;
}

function closed(id) {
  pressed(id, false);
  ribbons.choose(null);
  nodes.element(id)?.focus({ preventScroll: true });
}

function pressed(id, value) {
  const element = nodes.element(id);
  if (element) element.setAttribute("aria-pressed", String(value));
}

document.getElementById("process").addEventListener("click", () => picture && choose("process"));

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && details.id) details.close();
});

// -- the connection to the proxy --------------------------------------------------------------------

const connection = document.getElementById("connection");
connection.append(glyph("idle"), html("span"));

function showConnection(level, text) {
  setAttribute(connection, "class", `level-${level}`);
  setGlyph(connection.firstChild, level);
  setText(connection.lastChild, text);
  document.body.classList.toggle("stale", level === "bad");
}

let events = null;

function connect() {
  events?.close();
  events = new EventSource("events");
  events.addEventListener("picture", (event) => {
    show(JSON.parse(event.data));
    showConnection("good", "live");
  });
  events.addEventListener("error", () => {
    if (events?.readyState === EventSource.CLOSED) lost();
  });
}

/** The proxy refuses, or has no more room for pages: EventSource does not try again by itself. */
async function lost() {
  events = null;
  const response = await fetch("session").catch(() => null);
  if (response?.status === 401) {
    showConnection("bad", "This page is no longer signed in, as after a restart of the proxy: run vcproxy ctl dashboard.");
  } else {
    setTimeout(() => !document.hidden && !events && connect(), LATE_MS);
  }
}

setInterval(() => {
  if (at && !document.hidden && Date.now() - at > LATE_MS && !connection.textContent.startsWith("This page")) {
    showConnection("bad", `no figures from the proxy for ${duration((Date.now() - at) / 1000)}`);
  }
}, 1000);

// A page that nobody sees asks for nothing.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    events?.close();
    events = null;
  } else if (!events) connect();
});

if (!document.hidden) connect();
