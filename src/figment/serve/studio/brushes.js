/** The tools beside a painter: size, paint or erase, undo and redo, and whatever else a tab adds. */
import { el, field } from "./dom.js";

const MASK = "#3b7cff"; // seen on light and on dark; what is painted counts, not its colour

/** A bar of tools for `painter`. colours: swatches to draw with, or none for a mask, which is painted or erased. */
export function brushes(painter, { colours = [], mask = false } = {}) {
  const size = el("input", { type: "range", min: 0, max: 1, step: 0.01 });
  const press = (button, set) => {
    for (const one of node.querySelectorAll("[aria-pressed]")) one.setAttribute("aria-pressed", String(one === button));
    painter.colour = set;
  };
  const kind = (key, set) => {
    const button = el("button", { t: key, "aria-pressed": "false", onclick: () => press(button, set) });
    return button;
  };
  const swatch = (colour) => {
    const button = el("button.swatch", {
      label: ["paint.colour", { colour }],
      "aria-pressed": "false",
      onclick: () => press(button, colour),
    });
    button.style.backgroundColor = colour;
    return button;
  };
  const pens = mask ? [kind("paint.paint", MASK), kind("paint.erase", "erase")] : colours.map(swatch);
  const node = el(
    "div.brushes",
    { role: "group", label: "paint.tools" },
    el("div.buttons", {}, ...pens),
    field("paint.size", size),
    el(
      "div.buttons",
      {},
      el("button", { t: "paint.undo", "aria-keyshortcuts": "Control+Z", onclick: () => painter.undo() }),
      el("button", { t: "paint.redo", "aria-keyshortcuts": "Control+Y", onclick: () => painter.redo() }),
      mask && el("button", { t: "paint.all", onclick: () => painter.fillAll() }),
      mask && el("button", { t: "paint.invert", onclick: () => painter.invert() }),
      el("button", { t: "paint.clear", onclick: () => painter.clear() }),
    ),
  );
  pens[mask ? 0 : Math.min(1, pens.length - 1)].click();

  // The slider runs evenly over the logarithm of the size, from one pixel to half the picture.
  const most = () => Math.max(4, painter.canvas.width / 2);
  const show = () => (size.value = Math.log(painter.width) / Math.log(most()));
  size.addEventListener("input", () => (painter.width = most() ** Number(size.value)));
  painter.canvas.addEventListener("resize", show);
  return {
    node,
    /** After the painter was reset to another size: a brush that suits it. */
    refit() {
      painter.width = Math.max(2, painter.canvas.width / 8);
      show();
    },
  };
}
