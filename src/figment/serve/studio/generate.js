/** The first tab: ask a run for pictures, see them come, keep what made them. */
import { follow, post, send, shareDone } from "./api.js";
import { fillCard, preview, waiting } from "./cards.js";
import { el, field, fileButton, onDrop } from "./dom.js";
import { historyPart } from "./history.js";
import { say } from "./i18n.js";
import { can, labelChoice, runChoice, runOf } from "./library.js";
import { failed, notice } from "./notice.js";
import { settingsForm } from "./settings.js";

/** The tab's content; `take(image)` asks again for what made a picture. */
export function generateTab() {
  const settings = settingsForm();
  const label = labelChoice({ all: true });
  const caption = el("input", { type: "text", autocomplete: "off", maxlength: 300 });
  const captionField = field("field.caption", caption);
  const runs = runChoice((run) => can(run, "Generates"), showRun);
  const seed = el("input", { type: "number", min: 0, step: 1, value: "0" });
  const num = el("input", { type: "number", min: 1, max: 256, step: 1, value: "8" });
  const live = el("input", { type: "checkbox", id: "generate-preview" });
  const previewTick = el("div.tick", {}, live, el("label", { for: live.id, t: "generate.preview" }));
  const start = el("button.primary", { type: "submit", t: "generate.go", "aria-keyshortcuts": "Control+Enter" });
  const stop = el("button", { t: "app.stop", hidden: true });
  const bar = el("progress", { label: "app.progress", hidden: true, max: 1 });
  const state = el("p.remark", { role: "status" });
  const results = el("ul.cards", { label: "generate.results" });
  const empty = el("p.empty", { t: "generate.empty" });
  const history = historyPart();
  let made = [];

  const another = el("button", {
    t: "generate.another",
    onclick: () => ((seed.value = Number(seed.value) + Number(num.value)), run()),
  });
  const form = el(
    "form.panel",
    { label: "tab.generate" },
    runs.node,
    label.node,
    captionField,
    el("div.pair", {}, field("field.seed", seed), field("field.num", num)),
    settings.node,
    previewTick,
    el("div.buttons", {}, start, another, stop),
    bar,
    state,
    el(
      "div.buttons",
      {},
      fileButton("generate.restore", ([file]) => restore(file), { accept: "image/png" }),
    ),
  );
  form.addEventListener("submit", (event) => (event.preventDefault(), run()));
  const node = el("div.split", {}, form, el("div.stage", {}, empty, results, history.node));
  onDrop(node, ([file]) => restore(file));

  function showRun(run) {
    label.show(run);
    captionField.hidden = !run?.has_captions;
    previewTick.hidden = !run?.has_preview;
    settings.show(run?.settings, run?.sampling);
  }

  function asked() {
    const words = captionField.hidden ? "" : caption.value.trim();
    const wish = words ? { caption: words } : { label: label.value() };
    return {
      run: runs.select.value,
      ...wish,
      seed: Number(seed.value),
      num: Number(num.value),
      settings: settings.values(),
      preview: live.checked && !previewTick.hidden,
    };
  }

  async function run() {
    if (!form.reportValidity()) return;
    const order = asked();
    const places = Array.from({ length: order.num }, waiting);
    const cancelled = () => finish("generate.stopped");
    made = [];
    empty.hidden = true;
    results.replaceChildren(...places);
    start.disabled = another.disabled = true;
    bar.hidden = stop.hidden = false;
    bar.removeAttribute("value");
    try {
      const { job } = await post("/api/generate", order);
      const callOff = follow(job, heard(order, places));
      stop.onclick = () => (callOff(), cancelled());
    } catch (error) {
      finish();
      failed(error);
    }
  }

  function heard(order, places) {
    return {
      queued: ({ ahead_seconds: ahead }) => ahead >= 1 && say(state, ["generate.ahead", { seconds: Math.ceil(ahead) }]),
      progress: (now) => (bar.value = shareDone(now)),
      preview: ({ place, png_b64: png }) => preview(places[place], `data:image/png;base64,${png}`),
      image: (data) => {
        const image = { ...order, ...data };
        made.push(image);
        fillCard(places[data.place], image, () => made);
      },
      done: ({ seconds }) => {
        finish("generate.took", { num: made.length, seconds: seconds.toFixed(1) });
        history.refresh();
      },
      error: (error) => (finish(), failed(error)),
    };
  }

  function finish(key = null, values = {}) {
    start.disabled = another.disabled = false;
    bar.hidden = stop.hidden = true;
    say(state, "app.nothing");
    for (const place of results.querySelectorAll(".waiting")) place.remove();
    empty.hidden = results.childElementCount > 0;
    if (key) notice(key, values);
  }

  /** Ask again for what made a picture. */
  function put(recipe) {
    if (runOf(recipe.run)) runs.select.value = runOf(recipe.run).id;
    showRun(runs.run());
    label.set(recipe.label);
    caption.value = recipe.caption ?? "";
    seed.value = recipe.seeds?.[0] ?? recipe.seed ?? 0;
    num.value = recipe.seeds?.length ?? 1;
    settings.set(recipe.settings);
    notice("generate.restored", { seed: seed.value });
  }

  async function restore(file) {
    try {
      const { recipe, request } = await send("/api/recipe", file, { type: "image/png" });
      if (request) put(request);
      else notice("generate.stranger", { family: recipe.family }, "bad");
    } catch (error) {
      failed(error);
    }
  }

  document.addEventListener("language", () => settings.speak());
  showRun(runs.run());
  const take = (image) => put({ settings: image.recipe?.settings, ...image, seeds: undefined });
  return { node, take, show: () => history.refresh(), go: () => form.requestSubmit() };
}
