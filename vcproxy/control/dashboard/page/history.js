// The last minutes of each figure, kept in the page: the proxy keeps none.

import { setAttribute, svg } from "./elements.js";

/** The most values of one figure: five minutes at one a second. */
export const KEPT = 300;

export class History {
  #series = new Map();

  /** Add a value of each figure, by name. Figures that are not named any more are forgotten. */
  add(values) {
    for (const name of this.#series.keys()) if (!values.has(name)) this.#series.delete(name);
    for (const [name, value] of values) {
      const series = this.#series.get(name) ?? [];
      series.push(value ?? 0);
      if (series.length > KEPT) series.shift();
      this.#series.set(name, series);
    }
  }

  of(name) {
    return this.#series.get(name) ?? [];
  }
}

/** Make a sparkline: an area below a line. */
export function spark() {
  return svg("svg", { class: "spark", viewBox: `0 0 ${KEPT - 1} 100`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { class: "area" }), svg("path", { class: "line" }));
}

/** How many values fill the width of a sparkline: as many as there are, within limits. */
export function shownOf(values, most) {
  return Math.min(most, Math.max(20, values.length));
}

/** Draw the last values into a sparkline, `most` at most; the newest is at the right. */
export function drawSpark(element, values, most = 120) {
  const shown = shownOf(values, most);
  const visible = values.slice(-shown);
  const highest = Math.max(...visible, 1e-9);
  const left = (shown - visible.length) * (KEPT - 1) / (shown - 1);
  const points = visible.map((value, index) =>
    `${(left + index * (KEPT - 1) / (shown - 1)).toFixed(1)} ${(97 - 94 * value / highest).toFixed(1)}`);
  const line = points.length > 1 ? `M${points.join("L")}` : "";
  setAttribute(element.children[1], "d", line);
  setAttribute(element.children[0], "d", line && `${line}V100H${left.toFixed(1)}Z`);
}
