/** Before and after in one frame, with a line between them that a hand or the arrow keys move. */
import { el, picture } from "./dom.js";

/** The frame for two pictures. */
export function beforeAfter(before, after, title) {
  const top = picture(after, title, { class: "after" });
  const line = el("span.line", { "aria-hidden": "true" });
  const range = el("input", { type: "range", min: 0, max: 100, step: 1, value: 50, label: "edit.slider" });
  const move = () => {
    top.style.clipPath = `inset(0 0 0 ${range.value}%)`;
    line.style.left = `${range.value}%`;
  };
  range.addEventListener("input", move);
  move();
  return el("div.compare", {}, picture(before), top, line, range);
}
