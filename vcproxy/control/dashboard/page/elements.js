// Small helpers for elements. What is equal already is not written again, so that nothing flickers.

const SVG = "http://www.w3.org/2000/svg";

/** Make an HTML element with a class, and children. */
export function html(name, className = "", ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** Make an SVG element with attributes, and children. */
export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** The shape that shows a level, besides its colour. */
export function glyph(level) {
  return svg("svg", { class: "glyph", "aria-hidden": "true" }, svg("use", { href: `#glyph-${level}` }));
}

export function setGlyph(element, level) {
  setAttribute(element.firstChild, "href", `#glyph-${level}`);
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Let a parent have exactly these children, in this order, moving as few as possible. */
export function setChildren(parent, children) {
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
  while (parent.children.length > children.length) parent.lastChild.remove();
}
