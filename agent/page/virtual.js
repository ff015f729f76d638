// A list of any length of which only what is seen is in the document. It scrolls with the page.

/** Rows more than are seen, above and below. */
const SPARE = 8;

/** Draws rows by key into a container. All are of one height. */
export class VirtualList {
  /** `draw(item)` makes a row's element, `key(item)` says which item it is, `height()` is a row's height in pixels. */
  constructor(container, { draw, key, height }) {
    Object.assign(this, { container, draw, key, height, items: [], drawn: new Map() });
    this.onScroll = () => this.schedule();
    window.addEventListener("scroll", this.onScroll, { passive: true });
    window.addEventListener("resize", this.onScroll);
  }

  destroy() {
    window.removeEventListener("scroll", this.onScroll);
    window.removeEventListener("resize", this.onScroll);
    cancelAnimationFrame(this.frame);
  }

  schedule() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.update());
  }

  /** Takes new items. Those that came above what is being read do not move it. */
  set(items) {
    const height = this.height();
    const top = -this.container.getBoundingClientRect().top;
    const at = Math.floor(top / height);
    const anchor = top > 0 && this.items[at] ? this.key(this.items[at]) : null;
    this.items = items;
    this.index = new Map(items.map((item, index) => [this.key(item), index]));
    this.container.style.height = `${items.length * height}px`;
    if (anchor !== null && this.index.has(anchor)) {
      const moved = (this.index.get(anchor) - at) * height;
      if (moved !== 0) window.scrollBy(0, moved);
    }
    this.update();
  }

  /** Puts into the document what is seen, and takes out the rest, but for a row that has the focus. */
  update() {
    const height = this.height();
    if (height !== this.lastHeight) {
      this.container.style.height = `${this.items.length * height}px`;
      this.lastHeight = height;
    }
    const top = -this.container.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / height) - SPARE);
    const end = Math.min(this.items.length, Math.ceil((top + window.innerHeight) / height) + SPARE);
    const wanted = new Map();
    for (let index = first; index < end; index += 1) wanted.set(this.key(this.items[index]), index);
    const focused = document.activeElement?.closest?.("[data-key]")?.dataset.key;
    if (focused !== undefined && this.drawn.has(focused) && this.index?.has(focused)) wanted.set(focused, this.index.get(focused));
    for (const [key, { element }] of this.drawn) {
      if (!wanted.has(key)) {
        element.remove();
        this.drawn.delete(key);
      }
    }
    let before = null;
    // In the order of the list, so that Tab goes from one row to the next.
    for (const [key, index] of [...wanted].sort((one, other) => one[1] - other[1])) {
      const element = this.row(key, index, height);
      const place = before ? before.nextSibling : this.container.firstChild;
      if (element !== place) {
        const active = element.contains(document.activeElement) ? document.activeElement : null;
        this.container.insertBefore(element, place);
        active?.focus({ preventScroll: true });
      }
      before = element;
    }
  }

  row(key, index, height) {
    const item = this.items[index];
    let drawn = this.drawn.get(key);
    if (!drawn || drawn.item !== item) {
      const element = this.draw(item);
      element.dataset.key = key;
      if (drawn) {
        const had = drawn.element.contains(document.activeElement);
        drawn.element.replaceWith(element);
        if (had) element.querySelector("a, button")?.focus({ preventScroll: true });
      }
      drawn = { element, item };
      this.drawn.set(key, drawn);
    }
    if (drawn.index !== index || drawn.height !== height) {
      drawn.element.style.transform = `translateY(${index * height}px)`;
      drawn.element.setAttribute("aria-rowindex", index + 2);
      Object.assign(drawn, { index, height });
    }
    return drawn.element;
  }

  /** Brings an item into view and gives its link the focus. */
  focus(index) {
    if (this.items.length === 0) return;
    const to = Math.min(Math.max(index, 0), this.items.length - 1);
    const height = this.height();
    const top = this.container.getBoundingClientRect().top + to * height;
    const head = document.querySelector(".table-head")?.getBoundingClientRect().bottom ?? 0;
    if (top < head + 4) window.scrollBy(0, top - head - 4);
    else if (top + height > window.innerHeight - 4) window.scrollBy(0, top + height - window.innerHeight + 4);
    this.update();
    this.drawn.get(this.key(this.items[to]))?.element.querySelector("a")?.focus({ preventScroll: true });
  }

  /** The place of the item that has the focus, or -1. */
  focused() {
    const key = document.activeElement?.closest?.("[data-key]")?.dataset.key;
    return key === undefined ? -1 : this.index?.get(key) ?? -1;
  }
}
