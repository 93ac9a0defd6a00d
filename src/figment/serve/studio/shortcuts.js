/** The list of keys, under "?". */
import { el } from "./dom.js";

const KEYS = {
  "keys.everywhere": [
    ["?", "keys.this"],
    ["g g", "tab.generate"],
    ["g e", "tab.edit"],
    ["g x", "tab.explore"],
    ["g l", "tab.live"],
    ["g r", "tab.runs"],
    ["g c", "tab.compare"],
    ["g d", "tab.data"],
    ["Ctrl Enter", "keys.go"],
  ],
  "keys.large": [
    ["← →", "keys.neighbour"],
    ["Esc", "keys.close"],
  ],
  "keys.painting": [
    ["← → ↑ ↓", "keys.cross"],
    ["Space", "keys.dab"],
    ["Shift ←", "keys.stroke"],
    ["[ ]", "keys.brush"],
    ["Ctrl Z", "paint.undo"],
    ["Ctrl Y", "paint.redo"],
  ],
  "keys.labelling": [
    ["1 … 9 0 a … y", "keys.label"],
    ["⌫", "label.none"],
    ["-", "keys.refuse"],
    ["z", "label.undo"],
    ["/", "label.other"],
    ["← → ↑ ↓", "keys.move"],
    ["Shift →", "keys.extend"],
    ["Space", "keys.pick"],
    ["Ctrl A", "keys.all"],
    ["Esc", "keys.clear"],
    ["r", "review.restore"],
  ],
};

let dialog = null;

/** Show the keys. */
export function openShortcuts() {
  if (!dialog) {
    const parts = Object.entries(KEYS).map(([title, rows]) =>
      el(
        "section",
        {},
        el("h3", { t: title }),
        el(
          "dl.shortcuts",
          {},
          ...rows.map(([keys, what]) =>
            el("div", {}, el("dt", {}, ...keys.split(" ").map((one) => el("kbd", {}, one))), el("dd", { t: what })),
          ),
        ),
      ),
    );
    dialog = el(
      "dialog.help",
      { label: "app.help" },
      el("h2", { t: "app.help" }),
      el("div.columns", {}, ...parts),
      el("div.buttons", {}, el("button", { t: "viewer.close", onclick: () => dialog.close() })),
    );
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    document.body.append(dialog);
  }
  dialog.showModal();
  dialog.scrollTop = 0; // from the first line, not from the button that has the focus
}
