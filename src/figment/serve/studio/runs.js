/** The fifth tab: how a run was trained: its curves, its samples as they grew, and its scores. */
import { get } from "./api.js";
import { chart, short } from "./chart.js";
import { el, picture } from "./dom.js";
import { known, say, text } from "./i18n.js";
import { bounds, interval, span } from "./interval.js";
import { runChoice } from "./library.js";
import { failed } from "./notice.js";
import { look } from "./viewer.js";

/** The tab's content. */
export function runsTab() {
  const runs = runChoice(
    () => true,
    (run) => show(run),
  );
  const parts = el("div.report");
  const node = el("div.wide", {}, el("div.bar", {}, runs.node), parts);
  let shown = null;

  async function show(run = runs.run()) {
    if (!run || shown === run.id) return;
    shown = run.id;
    try {
      const path = `/api/runs/${run.id}`;
      const [log, samples, scores, doctor] = await Promise.all(
        ["log", "samples", "scores", "findings"].map((part) => get(`${path}/${part}`)),
      );
      if (shown !== run.id) return;
      const made = [
        facts(run, log.events),
        findings(doctor.findings),
        sampleSlider(path, samples.samples),
        scoreTable(scores.scores),
        curves(log.events),
      ];
      parts.replaceChildren(...made.filter(Boolean));
    } catch (error) {
      shown = null;
      failed(error);
    }
  }

  document.addEventListener("language", () => {
    shown = null;
    if (node.isConnected && !node.hidden) show();
  });
  return { node, show: () => show() };
}

function facts(run, events) {
  const last = events.filter(({ kind }) => kind === "train").at(-1);
  const { height, width, channels } = run.spec;
  const told = {
    "runs.family": run.family,
    "runs.pictures": `${width} × ${height} × ${channels}`,
    "runs.classes": run.classes.length || null,
    "runs.steps": last && short(last.step),
    "runs.seen": last && short(last.seen_images),
    "runs.capabilities": run.capabilities.map((one) => known("capability", one)).join(", "),
  };
  const rows = Object.entries(told).filter(([, value]) => value);
  return el(
    "dl.facts",
    {},
    ...rows.map(([name, value]) => el("div", {}, el("dt", { t: name }), el("dd", {}, String(value)))),
  );
}

/** What the doctor sees in the log, in the words of `figment doctor`; nothing where all is well. */
function findings(found) {
  if (!found.length) return null;
  const list = el("ul", { lang: "en" }, ...found.map((one) => el("li", {}, one.text)));
  return el("section", {}, el("h2", { t: "runs.findings" }), list);
}

/** Every grid of samples that training wrote, under one slider. */
function sampleSlider(path, samples) {
  if (!samples.length) return null;
  const url = (at) => `${path}/samples/${samples[at].n}`;
  const range = el("input", {
    type: "range",
    min: 0,
    max: samples.length - 1,
    step: 1,
    value: samples.length - 1,
    label: "runs.sample",
  });
  const caption = el("figcaption");
  const image = picture(url(samples.length - 1), "", { class: "grid-picture" });
  const open = el(
    "button.thumb",
    { label: "runs.enlarge", onclick: () => look(image.src, caption.textContent) },
    image,
  );
  const tell = () => {
    const step = samples[range.value].step;
    say(caption, ["runs.at", { step: short(step) }]);
    range.setAttribute("aria-valuetext", text("runs.at", { step: short(step) }));
  };
  range.addEventListener("input", () => {
    image.src = url(range.value);
    tell();
  });
  tell();
  return el(
    "section",
    {},
    el("h2", { t: "runs.samples" }),
    el("figure", {}, open, samples.length > 1 ? range : null, caption),
  );
}

function scoreTable(scores) {
  const rows = Object.entries(scores);
  if (!rows.length) return el("section", {}, el("h2", { t: "runs.scores" }), el("p.remark", { t: "runs.unscored" }));
  const head = ["runs.metric", "runs.value", "runs.interval", "runs.floor", "runs.counts"].map((key) =>
    el("th", { scope: "col", t: key }),
  );
  const body = rows.map(([name, score]) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, known("metric", name)),
      el("td.value", {}, short(score.value)),
      el(
        "td",
        {},
        interval(score, span([score])),
        bounds(score),
      ),
      el("td", {}, short(score.floor)),
      el("td", {}, text("runs.count", { fake: short(score.num_fake), real: short(score.num_real) })),
    ),
  );
  const eyes = [...new Set(rows.map(([, score]) => score.extractor).filter(Boolean))].join(", ");
  return el(
    "section",
    {},
    el("h2", { t: "runs.scores" }),
    el("p.remark", { t: ["runs.eyes", { eyes }] }),
    scroll(el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body))),
  );
}

/** A wide table that scrolls within the page, by keyboard too. */
export const scroll = (table) => el("div.scroll", { tabindex: 0, role: "region", label: "runs.scores" }, table);

/** One chart a phase for its losses, then the other numbers that the log holds. */
function curves(events) {
  const groups = {};
  const add = (title, name, event, value) =>
    ((groups[title] ??= {})[name] ??= []).push([event.seen_images ?? event.step, value]);
  for (const event of events) {
    if (event.kind === "validation")
      add(text("runs.loss", { phase: "main" }), text("runs.held-out"), event, event.loss);
    if (event.kind !== "train") continue;
    for (const [name, value] of Object.entries(event)) {
      const [phase, what] = name.split("/");
      if (what === "loss") add(text("runs.loss", { phase }), text("runs.training"), event, value);
      else if (what === "gradient_norm") add(text("runs.gradients"), phase, event, value);
      else if (what) add(text("runs.terms", { phase }), what.replaceAll("_", " "), event, value);
      else if (name === "lr") add(text("runs.lr"), "lr", event, value);
    }
  }
  const charts = Object.entries(groups)
    .map(([title, series]) => chart(title, series, text("runs.over")))
    .filter(Boolean);
  return charts.length ? el("section", {}, el("h2", { t: "runs.curves" }), el("div.charts", {}, ...charts)) : null;
}
