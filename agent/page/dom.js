// Elements without markup: whatever comes from a pod becomes a text node, never HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// Directions that a name sets for the text around it, and characters that cannot be seen, are shown as what they are.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** A text of somebody else, with nothing in it that cannot be seen. */
export function visible(text) {
  return text.replace(UNSEEN, (found) => `‹U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}›`);
}

/** A text cut to so many characters; whole characters only. */
export function clip(text, most) {
  if (text.length <= most) return text;
  const cut = text.slice(0, most);
  return `${/[\ud800-\udbff]$/.test(cut) ? cut.slice(0, -1) : cut}…`;
}

/** A name of somebody else in a place that is short: isolated from the text around it, and cut. */
export function name(text, { most = 80, unknown = "unknown" } = {}) {
  if (text === null || text === undefined || text === "") return h("span", { class: "unknown" }, unknown);
  // Twice as many as are shown are looked at: what a megabyte would take does nobody any good.
  const shown = clip(visible(text.slice(0, most * 2)), most);
  return h("bdi", shown === text ? {} : { title: clip(visible(text.slice(0, 1000)), 1000) }, shown);
}

/** The same with a way to see all of it. */
export function expandable(text, { most = 160, unknown = "unknown" } = {}) {
  if (!text || text.length <= most) return name(text, { most, unknown });
  const bdi = h("bdi", {}, clip(visible(text.slice(0, most * 2)), most));
  const count = text.length.toLocaleString("en");
  const button = h("button", { type: "button", class: "link expand", "aria-expanded": "false" }, `all ${count} characters`);
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    bdi.textContent = open ? visible(text) : clip(visible(text.slice(0, most * 2)), most);
    button.textContent = open ? "less" : `all ${count} characters`;
  });
  return h("span", { class: "expandable" }, bdi, " ", button);
}

/** Puts children in place of those that are there. */
export function replace(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
}

let ruler = null;

/** How wide a text is in the page's font, in pixels. */
export function textWidth(text, { size = 12, bold = false } = {}) {
  ruler ??= document.createElement("canvas").getContext("2d");
  ruler.font = `${bold ? 600 : 400} ${size}px ${getComputedStyle(document.documentElement).fontFamily}`;
  return ruler.measureText(text).width;
}

/** Sets a text only when it changes, so that nothing is laid out anew for nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
