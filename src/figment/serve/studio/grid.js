/**
 * A sheet of pictures that only draws what is seen, so that 100,000 of them scroll like 100.
 *
 * It is a listbox: one of the pictures is the current one, any number are selected. Arrows, Home, End and PageUp/Down
 * move; with Shift they select; Space picks; Ctrl+A picks all, up to MOST. A mouse selects by dragging.
 */
import { el, picture } from "./dom.js";

const PAGE = 200; // pictures in one question to the server
const KEPT = 50; // pages that are remembered
export const MOST = 5000; // pictures that can be selected at once

let sheets = 0;

export class Grid {
  /**
   * load(offset, limit) -> {total, images}; mark(image) -> a short text for the corner of a cell; current(image):
   * another picture is the current one; key(event): what the sheet does not know itself.
   */
  constructor({ label, load, mark = () => "", current = () => {}, key = () => {} }) {
    Object.assign(this, { load, mark, tell: current, unknownKey: key, side: 76, total: 0, at: 0, anchor: 0 });
    Object.assign(this, { pages: new Map(), selected: new Set(), cells: new Map(), name: `sheet-${++sheets}` });
    this.spacer = el("div.spacer", { role: "presentation" });
    this.node = el("div.sheet", { role: "listbox", tabindex: 0, "aria-multiselectable": "true", label }, this.spacer);
    this.node.addEventListener("scroll", () => this.draw());
    this.node.addEventListener("keydown", (event) => this.key(event));
    this.listenToPointer();
    new ResizeObserver(() => this.draw()).observe(this.node);
  }

  /** Forget everything and ask anew. */
  async reload() {
    this.pages.clear();
    this.selected.clear();
    this.clearCells();
    Object.assign(this, { total: 0, at: 0, anchor: 0 });
    this.node.scrollTop = 0;
    await this.page(0);
    this.draw();
    this.move(0);
  }

  clearCells() {
    for (const cell of this.cells.values()) cell.remove();
    this.cells.clear();
  }

  /** A page of pictures, asked for once. */
  page(number) {
    if (!this.pages.has(number)) {
      const asked = this.load(number * PAGE, PAGE).then((found) => {
        if (this.pages.get(number) !== asked) return [];
        this.total = found.total;
        asked.images = found.images;
        this.draw();
        return found.images;
      });
      asked.catch(() => this.pages.delete(number));
      this.pages.set(number, asked);
      if (this.pages.size > KEPT) this.pages.delete(this.pages.keys().next().value);
    }
    return this.pages.get(number);
  }

  /** The picture at a place, if it is here already. */
  image(index) {
    return this.pages.get(Math.floor(index / PAGE))?.images?.[index % PAGE];
  }

  /** The pictures that are selected, or else the current one; asks for those that are not here. */
  async chosen() {
    const places = this.selected.size ? [...this.selected].sort((a, b) => a - b) : this.total ? [this.at] : [];
    await Promise.all([...new Set(places.map((index) => Math.floor(index / PAGE)))].map((number) => this.page(number)));
    return places.map((index) => this.image(index)).filter(Boolean);
  }

  get columns() {
    return Math.max(1, Math.floor((this.node.clientWidth - 8) / this.side));
  }

  /** From one cell to the next, in pixels: `side`, and a share of what is left over in a row. */
  get pitch() {
    return Math.floor((this.node.clientWidth - 8) / this.columns);
  }

  /** Put the cells that are in view where they belong. */
  draw() {
    if (!this.node.clientHeight) return;
    const { columns, pitch: side } = this;
    this.spacer.style.height = `${Math.ceil(this.total / columns) * side}px`;
    const first = Math.max(0, Math.floor(this.node.scrollTop / side) - 1) * columns;
    const last = Math.min(this.total, (Math.ceil((this.node.scrollTop + this.node.clientHeight) / side) + 1) * columns);
    for (const [index, cell] of this.cells) {
      if (index < first || index >= last) (cell.remove(), this.cells.delete(index));
    }
    for (let index = first; index < last; index++) this.place(index, columns, side);
  }

  place(index, columns, side) {
    const image = this.image(index);
    if (!image) this.page(Math.floor(index / PAGE)).catch(() => {});
    let cell = this.cells.get(index);
    if (!cell) {
      cell = el("div.cell", {
        role: "option",
        id: `${this.name}-${index}`,
        "aria-setsize": this.total,
        "aria-posinset": index + 1,
      });
      cell.dataset.index = index;
      this.cells.set(index, cell);
      this.spacer.append(cell);
    }
    cell.style.transform = `translate(${(index % columns) * side}px, ${Math.floor(index / columns) * side}px)`;
    cell.style.width = cell.style.height = `${side - 4}px`;
    if (image && cell.image !== image) {
      cell.image = image;
      cell.replaceChildren(picture(image.url), el("span.mark"));
    }
    if (image) this.refreshCell(cell, image, index);
  }

  refreshCell(cell, image, index) {
    const mark = this.mark(image);
    cell.lastChild.textContent = mark;
    cell.setAttribute("aria-label", `${index + 1} ${mark}`);
    cell.setAttribute("aria-selected", String(this.selected.has(index)));
    cell.classList.toggle("current", index === this.at);
    cell.classList.toggle("out", Boolean(image.reason));
  }

  /** Show marks and selection as they are now. */
  refresh() {
    for (const [index, cell] of this.cells) if (cell.image) this.refreshCell(cell, cell.image, index);
  }

  /** Make a place the current one; `extend` selects from the anchor to it. */
  move(index, extend = false) {
    if (!this.total) return this.tell(null);
    this.at = Math.max(0, Math.min(this.total - 1, index));
    if (extend) this.select(this.anchor, this.at);
    else this.anchor = this.at;
    const side = this.pitch;
    const top = Math.floor(this.at / this.columns) * side;
    if (top < this.node.scrollTop) this.node.scrollTop = top;
    else if (top + side > this.node.scrollTop + this.node.clientHeight)
      this.node.scrollTop = top + side - this.node.clientHeight;
    this.draw();
    this.refresh();
    this.node.setAttribute("aria-activedescendant", `${this.name}-${this.at}`);
    const there = this.at;
    this.page(Math.floor(there / PAGE)).then(
      () => there === this.at && this.tell(this.image(there)),
      () => {},
    );
  }

  select(from, to) {
    const [first, last] = from < to ? [from, to] : [to, from];
    this.selected = new Set(Array.from({ length: Math.min(MOST, last - first + 1) }, (_, step) => first + step));
  }

  clear() {
    this.selected.clear();
    this.refresh();
  }

  toggle(index) {
    if (!this.selected.delete(index)) this.selected.add(index);
    this.move(index);
  }

  /** After something was done to the selection: on to what comes next. */
  next() {
    const last = this.selected.size ? Math.max(...this.selected) : this.at;
    this.selected.clear();
    this.move(last + 1);
  }

  key(event) {
    const { columns } = this;
    const screen = columns * Math.max(1, Math.floor(this.node.clientHeight / this.pitch) - 1);
    const to = {
      ArrowLeft: this.at - 1,
      ArrowRight: this.at + 1,
      ArrowUp: this.at - columns,
      ArrowDown: this.at + columns,
      Home: 0,
      End: this.total - 1,
      PageUp: this.at - screen,
      PageDown: this.at + screen,
    }[event.key];
    if (to !== undefined) this.move(to, event.shiftKey);
    else if (event.key === " ") this.toggle(this.at);
    else if (event.key === "Escape" && this.selected.size) this.clear();
    else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "a")
      (this.select(0, this.total - 1), this.move(this.at));
    else return this.unknownKey(event);
    event.preventDefault();
    event.stopPropagation();
  }

  listenToPointer() {
    let dragging = false;
    const placeOf = (event) => document.elementFromPoint(event.clientX, event.clientY)?.closest(".cell")?.dataset.index;
    this.node.addEventListener("pointerdown", (event) => {
      const index = Number(placeOf(event) ?? NaN);
      if (event.button || Number.isNaN(index)) return;
      if (event.shiftKey) return this.move(index, true);
      if (event.ctrlKey || event.metaKey) return this.toggle(index);
      this.selected.clear();
      this.move(index);
      dragging = event.pointerType === "mouse";
    });
    this.node.addEventListener("pointermove", (event) => {
      const index = Number(dragging && event.buttons ? (placeOf(event) ?? NaN) : NaN);
      if (!Number.isNaN(index) && index !== this.at) this.move(index, true);
    });
    window.addEventListener("pointerup", () => (dragging = false));
  }
}
