/** Labelling, made for speed: one key a label, on the picture or on all that are selected; then the next one. */
import { Changes } from "./changes.js";
import { filters, loader } from "./filters.js";
import { el, field, picture } from "./dom.js";
import { known, say, text } from "./i18n.js";
import { Grid } from "./grid.js";
import { failed } from "./notice.js";

const KEYS = "1234567890abcdefghijklmnopqrstuvwxy"; // z takes back

/** The sheet of a dataset with what a label is given by. */
export function labelPart(data) {
  const classes = data.spec?.classes?.length
    ? data.spec.classes
    : data.labels.map(({ label }) => label).filter(Boolean);
  const keys = new Map(classes.slice(0, KEYS.length).map((name, at) => [KEYS[at], name]));
  const changes = new Changes(data, heard, failed);
  const total = el("span.remark");
  const filter = filters(data, ["split", "label", "order"], () => grid.reload().catch(failed));
  const grid = new Grid({
    label: "data.sheet",
    current: show,
    key: press,
    load: loader(data, filter.query, total),
    mark: (image) => (image.reason ? text("review.out") : (image.label ?? "")),
  });
  const size = el("input", {
    type: "range",
    min: 40,
    max: 180,
    step: 4,
    value: grid.side,
    oninput: () => ((grid.side = Number(size.value)), grid.clearCells(), grid.draw(), grid.move(grid.at)),
  });
  const again = el("button", { t: "data.reload", onclick: () => grid.reload().catch(failed) });

  const large = picture("", "", { class: "big" });
  const name = el("p.name");
  const told = el("p.remark");
  const caption = el("textarea", {
    rows: 2,
    onchange: () =>
      now &&
      changes.put(
        [now],
        "captions",
        caption.value
          .split("\n")
          .map((one) => one.trim())
          .filter(Boolean),
      ),
  });
  const captionField = field("label.captions", caption, { t: "label.captions-about" });
  const traits = el("div.traits", { role: "group", label: "label.attributes", hidden: !data.attributes.length });
  const other = el("input", { type: "text", list: "classes", autocomplete: "off" });
  const why = el("input", { type: "text", maxlength: 200, autocomplete: "off", placeholder: "refuse.usual" });
  const refusal = el("button", { t: "refuse.go", "aria-keyshortcuts": "-", onclick: () => refuse() });
  const undo = el("button", { t: "label.undo", "aria-keyshortcuts": "z", onclick: () => takeBack() });
  const state = el("p.remark", { role: "status" });
  const conflicts = el("div.conflicts", { role: "group", label: "label.conflicts" });
  let now = null;

  const legend = el(
    "div.keys",
    { role: "group", label: "label.keys" },
    ...[...keys].map(([key, one]) =>
      el("button", { onclick: () => give(one), "aria-keyshortcuts": key }, el("kbd", {}, key), one),
    ),
    el(
      "button",
      { onclick: () => give(null), "aria-keyshortcuts": "Backspace" },
      el("kbd", {}, "⌫"),
      el("span", { t: "label.none" }),
    ),
  );
  const write = el(
    "form.inputs",
    {},
    field("label.other", other),
    el("button", { type: "submit", t: "label.give" }),
    el("datalist", { id: "classes" }, ...classes.map((one) => el("option", { value: one }))),
  );
  write.addEventListener(
    "submit",
    (event) => (event.preventDefault(), other.value.trim() && give(other.value.trim()), (other.value = "")),
  );

  const hand = data.is_writable
    ? [
        legend,
        write,
        el("div.inputs", {}, field("refuse.reason", why), refusal),
        el("div.buttons", {}, undo, state),
        conflicts,
        captionField,
        traits,
      ]
    : [el("p.remark", { t: "label.sealed" })];
  const head = el("div.current", {}, large, el("div", {}, name, told));
  const side = el("aside.panel", { label: "label.current" }, head, ...hand);
  const node = el(
    "div.label",
    {},
    el("div.bar", {}, filter.node, field("data.size", size), again, total),
    el("div.split.turned", {}, el("div", {}, grid.node, el("p.remark", { t: "label.help" })), side),
  );

  function show(image) {
    now = image;
    if (!image) return say(name, "data.nothing");
    large.src = image.url;
    refreshSide();
  }

  function refreshSide() {
    name.removeAttribute("data-t");
    name.textContent = now?.label ?? text("label.none");
    const { split, key, step, reason } = now ?? {};
    const out = reason && `${known("step", step ?? "hand")}: ${reason}`;
    told.textContent = [split && text(`split.${split}`), key, out].filter(Boolean).join(" · ");
    say(refusal, reason ? "review.restore" : "refuse.go");
    if (document.activeElement !== caption) caption.value = (now?.captions ?? []).join("\n");
    traits.replaceChildren(...data.attributes.map((one) => trait(one, now?.attributes?.[one])));
  }

  /** A switch for an attribute: on, off, or not said. */
  function trait(one, value) {
    const next = value === undefined || value === null ? 1 : value ? 0 : null;
    const sign = value === undefined || value === null ? "–" : value ? "✓" : "✗";
    const put = () => {
      const { [one]: _, ...rest } = now.attributes ?? {};
      changes.put([now], "attributes", next === null ? rest : { ...rest, [one]: next });
    };
    return el(
      "button",
      { "aria-pressed": value ? "true" : value === 0 ? "false" : "mixed", onclick: put },
      el("span", { "aria-hidden": "true" }, sign),
      one,
    );
  }

  async function give(label) {
    const chosen = await grid.chosen();
    changes.put(chosen, "label", label);
    grid.next();
    grid.node.focus();
  }

  /** Take what is chosen out of the dataset; or in again, where all of it is out. */
  async function refuse() {
    const chosen = await grid.chosen();
    const kept = chosen.filter(({ reason }) => !reason);
    if (kept.length) changes.put(kept, "reason", why.value.trim() || text("refuse.usual"));
    else changes.put(chosen, "reason", null);
    grid.next();
    grid.node.focus();
  }

  function takeBack() {
    const [image] = changes.undo();
    const index = image && [...grid.cells].find(([, cell]) => cell.image?.row === image.row)?.[0];
    if (index !== undefined) grid.move(index);
    grid.node.focus();
  }

  function press(event) {
    if (!data.is_writable) return;
    const isCommand = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    if (key === "z" && !event.altKey) takeBack();
    else if (isCommand || event.altKey) return;
    else if (keys.has(key)) give(keys.get(key));
    else if (event.key === "Backspace" || event.key === "Delete") give(null);
    else if (event.key === "-") refuse();
    else if (event.key === "/") other.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function heard() {
    grid.refresh();
    refreshSide();
    say(state, ["label.state", { saved: changes.saved, waiting: changes.waiting.length }]);
    undo.disabled = !changes.past.length;
    conflicts.replaceChildren(...changes.conflicts.map(conflictLine));
  }

  function conflictLine(conflict) {
    const shown = (value) =>
      value === null || value === undefined
        ? text(conflict.kind === "reason" ? "review.in" : "label.none")
        : typeof value === "object"
          ? JSON.stringify(value)
          : value;
    const said = el("span", {}, text("label.conflict", { mine: shown(conflict.mine), theirs: shown(conflict.theirs) }));
    const settle = (key, mine) => el("button", { t: key, onclick: () => changes.settle(conflict, mine) });
    return el(
      "div.conflict",
      {},
      picture(conflict.image.url),
      said,
      settle("label.mine", true),
      settle("label.theirs", false),
    );
  }

  window.addEventListener("beforeunload", (event) => changes.waiting.length && event.preventDefault());
  document.addEventListener("language", () => refreshSide());
  undo.disabled = true;
  return { node, show: () => (grid.total ? grid.draw() : grid.reload().catch(failed)) };
}
