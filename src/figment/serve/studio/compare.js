/** The sixth tab: the runs ranked by one score, ties left as ties, and the same seeds drawn by each. */
import { follow, get, post } from "./api.js";
import { fillCard, waiting } from "./cards.js";
import { short } from "./chart.js";
import { choice, el, field, fill } from "./dom.js";
import { known } from "./i18n.js";
import { bounds, interval, span } from "./interval.js";
import { allRuns, can, titleOfRun } from "./library.js";
import { failed } from "./notice.js";
import { scroll } from "./runs.js";

const SEEDS = [0, 1, 2, 3, 4, 5];

/** The tab's content. */
export function compareTab() {
  const metric = choice([], { onchange: showBoard });
  const board = el("div");
  const start = el("button.primary", { t: "compare.draw", onclick: () => drawAll() });
  const rows = el("div.rows");
  const ranking = el(
    "section",
    {},
    el("div.bar", {}, el("h2", { t: "compare.board" }), field("compare.metric", metric)),
    board,
  );
  const side = el(
    "section",
    {},
    el("div.bar", {}, el("h2", { t: "compare.side" }), start),
    el("p.remark", { t: "compare.side-about" }),
    rows,
  );
  const node = el("div.wide", {}, ranking, side);
  let boards = { leaderboard: {}, higher_is_better: {}, refused: {} };

  async function show() {
    try {
      boards = await get("/api/leaderboard");
      fill(
        metric,
        Object.keys(boards.leaderboard).map((name) => [name, known("metric", name)]),
      );
    } catch (error) {
      failed(error); // such as scores that were not measured alike
    }
    showBoard();
  }

  function showBoard() {
    const ranked = boards.leaderboard[metric.value] ?? [];
    metric.closest(".field").hidden = !ranked.length;
    const why = Object.entries(boards.refused).map(([name, reason]) =>
      el("li", {}, `${known("metric", name)}: ${reason}`),
    );
    const refused = why.length
      ? el("details", {}, el("summary", { t: "compare.refused" }), el("ul", {}, ...why))
      : null;
    if (!ranked.length)
      return board.replaceChildren(...[el("p.empty", { t: "compare.empty" }), refused].filter(Boolean));
    const better = boards.higher_is_better[metric.value] ? "compare.higher" : "compare.lower";
    board.replaceChildren(...[el("p.remark", { t: better }), scroll(boardTable(ranked)), refused].filter(Boolean));
  }

  /** Six pictures of each run, of the same seeds. */
  function drawAll() {
    const able = allRuns().filter((run) => can(run, "Generates"));
    rows.replaceChildren(
      ...able.map((run) => {
        const places = SEEDS.map(waiting);
        drawRow(run, places);
        return el("div.row", {}, el("h3", {}, titleOfRun(run)), el("ul.cards.small", {}, ...places));
      }),
    );
  }

  async function drawRow(run, places) {
    const made = [];
    const order = { run: run.id, label: run.classes.length ? "all" : null, seeds: SEEDS, settings: {} };
    try {
      const { job } = await post("/api/generate", order);
      follow(job, {
        image: (data) => {
          made.push({ ...data, run: run.id });
          fillCard(places[data.place], made.at(-1), () => made);
        },
        done: () => {},
        error: failed,
      });
    } catch (error) {
      failed(error);
    }
  }

  document.addEventListener("language", () => {
    for (const option of metric.options) option.textContent = known("metric", option.value);
  });
  return { node, show };
}

function boardTable(ranked) {
  const range = span(ranked);
  const head = ["compare.rank", "field.run", "runs.value", "runs.interval", "runs.floor"].map((key) =>
    el("th", { scope: "col", t: key }),
  );
  const body = ranked.map((row) =>
    el(
      "tr",
      {},
      el("td", {}, el(`span.rank${row.rank === 1 ? ".first" : ""}`, {}, String(row.rank))),
      el("th", { scope: "row" }, row.name),
      el("td.value", {}, short(row.value)),
      el(
        "td",
        {},
        interval(row, range),
        bounds(row),
      ),
      el("td", {}, short(row.floor)),
    ),
  );
  return el("table.board", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body));
}
