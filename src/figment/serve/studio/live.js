/** The fourth tab: draw, and the run answers while you draw. Meant for families that draw in one step. */
import { send } from "./api.js";
import { brushes } from "./brushes.js";
import { choice, el, field, fileButton, fill, onDrop, picture } from "./dom.js";
import { known, say } from "./i18n.js";
import { editsOf, labelChoice, runChoice } from "./library.js";
import { failed } from "./notice.js";
import { Pace } from "./pace.js";
import { Painter } from "./paint.js";
import { photo } from "./photo.js";
import { settingsForm } from "./settings.js";

const SIDE = 256; // pixels of the sheet's longer side; a sketch needs no more
const COLOURS = [
  "#000000",
  "#ffffff",
  "#7f7f7f",
  "#d0342c",
  "#e8912d",
  "#f2d13c",
  "#4a9d4f",
  "#2f6fd0",
  "#7a3fa8",
  "#8a5a35",
];
const GREYS = ["#000000", "#ffffff", "#404040", "#7f7f7f", "#bfbfbf"];

/** Edits of a run that take one picture and need no mask or style. */
const isDrawable = ({ inputs }) => inputs.includes("image") && !inputs.includes("mask") && !inputs.includes("style");
const drawable = (run) => editsOf(run, isDrawable);

/** The tab's content. */
export function liveTab() {
  const settings = settingsForm(ask);
  const drawing = settingsForm(ask);
  const label = labelChoice();
  const runs = runChoice((run) => drawable(run).length, showRun);
  const kind = choice([], { onchange: showEdit });
  const about = el("p.remark");
  const seed = el("input", { type: "number", min: 0, step: 1, value: "0" });
  const painter = new Painter({ label: "live.canvas", changed: ask, moving: ask });
  const tools = el("div");
  const answer = picture("", "", { class: "big" });
  const rate = el("p.rate", { t: "live.still" });
  const easel = el("div.easel", {}, painter.canvas, painter.cross);
  const pace = new Pace(redraw, show, failed);
  let shape = "";

  const form = el(
    "form.panel",
    { label: "tab.live" },
    runs.node,
    field("edit.kind", kind),
    about,
    label.node,
    field("field.seed", seed),
    settings.node,
    drawing.node,
    el(
      "div.buttons",
      {},
      el("button", { t: "live.another", onclick: () => ((seed.value = Number(seed.value) + 1), ask()) }),
      fileButton("live.photo", ([file]) => begin(file)),
    ),
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ask);
  label.select.addEventListener("change", ask);
  const answered = el("figure.exhibit", {}, answer, el("figcaption", {}, rate));
  const none = el("p.empty", { t: "live.none", hidden: runs.fitting.length > 0 });
  const node = el(
    "div.split.sketch",
    {},
    form,
    el("div.stage", {}, none, el("div.bench", {}, el("div", {}, easel, tools), answered)),
  );
  onDrop(easel, ([file]) => begin(file));

  function showRun(run) {
    if (!run) return;
    label.show(run);
    drawing.show(run.settings, run.sampling);
    fill(
      kind,
      drawable(run).map((one) => [one.name, known("edit-name", one.name, one.name.replaceAll("_", " "))]),
    );
    const { height, width, channels } = run.spec;
    const scale = SIDE / Math.max(height, width);
    pace.times = [];
    if (shape !== `${width}x${height}x${channels}`) {
      shape = `${width}x${height}x${channels}`;
      easel.style.setProperty("--shape", `${width} / ${height}`);
      easel.style.setProperty("--wide", String(width / height));
      painter.reset(Math.round(width * scale), Math.round(height * scale), ground(width, height));
      const bar = brushes(painter, { colours: channels === 1 ? GREYS : COLOURS });
      tools.replaceChildren(bar.node);
      bar.refit();
    }
    showEdit();
  }

  function showEdit() {
    const edit = runs.run()?.edits.find((one) => one.name === kind.value);
    about.textContent = known("edit-about", edit?.name, edit?.summary ?? "");
    settings.show(edit?.settings);
    ask();
  }

  function ground(width, height) {
    const sheet = document.createElement("canvas");
    Object.assign(sheet, { width, height });
    sheet.getContext("2d").fillRect(0, 0, width, height);
    return sheet;
  }

  async function begin(file) {
    try {
      const { bitmap } = await photo(file);
      painter.reset(painter.canvas.width, painter.canvas.height, bitmap);
      ask();
    } catch (error) {
      failed(error);
    }
  }

  function ask() {
    if (!node.isConnected || !runs.select.value || !seed.checkValidity()) return;
    pace.ask({
      run: runs.select.value,
      edit: kind.value,
      config: settings.values(),
      settings: drawing.values(),
      seeds: [Number(seed.value)],
      label: label.value(),
    });
  }

  /** The answer to the sheet as it is now, which is sent at the model's size: a PNG. The history is not told of it. */
  async function redraw(order) {
    const { height, width } = runs.run().spec;
    const sheet = document.createElement("canvas");
    Object.assign(sheet, { width, height });
    sheet.getContext("2d").drawImage(painter.canvas, 0, 0, width, height);
    const form = new FormData();
    form.append("image", await new Promise((resolve) => sheet.toBlob(resolve, "image/png")), "sheet.png");
    form.append("request", JSON.stringify(order));
    return send("/api/redraw", form);
  }

  function show(png, speed) {
    URL.revokeObjectURL(answer.src);
    answer.src = URL.createObjectURL(png);
    say(rate, ["explore.rate", { rate: speed.toFixed(speed < 10 ? 1 : 0) }]);
  }

  document.addEventListener("language", () => {
    settings.speak();
    drawing.speak();
    for (const option of kind.options)
      option.textContent = known("edit-name", option.value, option.value.replaceAll("_", " "));
  });
  return { node, show: () => (shape ? ask() : showRun(runs.run())) };
}
