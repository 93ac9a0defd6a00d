/** The seventh tab: the pictures of a dataset, as sheets: to look at, to label, and to review what was refused. */
import { choice, el, field } from "./dom.js";
import { known } from "./i18n.js";
import { short } from "./chart.js";
import { labelPart } from "./label.js";
import { allData, loadData } from "./library.js";
import { failed } from "./notice.js";
import { reviewPart } from "./review.js";

/** The tab's content. */
export function dataTab() {
  const sets = allData();
  const which = choice(
    sets.map((one) => [one.id, one.name]),
    { onchange: () => open() },
  );
  const counts = el("p.remark");
  const modes = el("div.kinds", { role: "group", label: "data.mode" }, mode("label"), mode("review"));
  const part = el("div");
  const empty = el("p.empty", { t: "data.none", hidden: sets.length > 0 });
  const node = el(
    "div.wide",
    {},
    el("div.bar", { hidden: !sets.length }, field("data.set", which), modes, counts),
    empty,
    part,
  );
  let chosen = "label";
  let parts = {};

  function mode(name) {
    return el("button", {
      t: `data.mode-${name}`,
      "aria-pressed": String(name === "label"),
      onclick: () => choose(name),
    });
  }

  async function choose(name) {
    chosen = name;
    [...modes.children].forEach((one, at) =>
      one.setAttribute("aria-pressed", String(["label", "review"][at] === name)),
    );
    if (name === "review") {
      await loadData().catch(failed); // what was refused by hand meanwhile is to be reviewed too
      parts.review = null;
    }
    show();
  }

  function open() {
    parts = {};
    show();
  }

  const data = () => allData().find((one) => one.id === which.value);

  function show() {
    if (!data()) return;
    count();
    parts[chosen] ??= (chosen === "label" ? labelPart : reviewPart)(data());
    part.replaceChildren(parts[chosen].node);
    parts[chosen].show();
  }

  function count() {
    counts.textContent = Object.entries(data()?.counts ?? {})
      .map(([name, number]) => `${short(number)} ${known("count", name)}`)
      .join(" · ");
  }

  document.addEventListener("language", count);
  return { node, show: () => (part.firstChild ? null : open()) };
}
