/** Curves as SVG that follows the reader's colours, read out under the pointer, and as a table too. */
import { el, svg } from "./dom.js";

const [WIDTH, HEIGHT] = [420, 240];
const [LEFT, RIGHT, TOP, BOTTOM] = [58, 408, 12, 206];
const LOG_FROM = 30; // the axis is logarithmic where the values span such a factor

/** A figure of series {name: [[x, y], ...]} over `over`, such as "images seen". */
export function chart(title, series, over) {
  const lines = Object.entries(series).map(([name, points]) => [
    name,
    points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y)),
  ]);
  const all = lines.flatMap(([, points]) => points);
  if (!all.length) return null;
  const x = axis(0, Math.max(...all.map(([at]) => at)) || 1, LEFT, RIGHT);
  const y = upright(all.map(([, value]) => value));
  const plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "plot", role: "img", "aria-label": title });
  for (const tick of y.ticks)
    plot.append(rule(LEFT, y(tick), RIGHT, y(tick)), words(LEFT - 8, y(tick) + 4, short(tick), "end"));
  for (const tick of x.ticks) plot.append(words(x(tick), BOTTOM + 18, short(tick), "middle"));
  plot.append(words(RIGHT, HEIGHT - 4, over, "end"));
  lines.forEach(([, points], index) =>
    plot.append(svg("path", { d: path(points, x, y), class: `line series-${index % 6}` })),
  );
  point(plot, lines, x);
  const keys = lines.map(([name, points], index) =>
    el("li", {}, key(index), name, el("span", {}, short(points.at(-1)?.[1]))),
  );
  return el("figure.chart", {}, el("h3", {}, title), el("ul.legend", {}, ...keys), plot, table(lines, over));
}

/** A straight axis: value -> position, with about five round ticks. */
function axis(low, high, start, end, log = false) {
  const scale = log ? Math.log10 : (value) => value;
  const [from, to] = [scale(low), scale(high)];
  const place = (value) => start + ((end - start) * (scale(value) - from)) / (to - from || 1);
  place.ticks = log ? decades(low, high) : evenly(low, high);
  place.value = (position) => from + ((position - start) / (end - start)) * (to - from);
  return place;
}

function upright(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (low > 0 && high / low >= LOG_FROM) return axis(low, high, BOTTOM, TOP, true);
  const margin = (high - low) / 20 || Math.abs(low) / 10 || 1;
  return axis(low - margin, high + margin, BOTTOM, TOP);
}

function evenly(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= rough);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, at) => (first + at) * step);
}

function decades(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) found.push(10 ** power);
  const within = found.filter((tick) => tick >= low);
  return within.length >= 2 ? within : [low, high];
}

/** A number as people write it: 12,800 or 0.0123. */
export function short(value) {
  if (value === undefined || value === null) return "";
  if (Math.abs(value) >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return value && Math.abs(value) < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(4)));
}

const rule = (x1, y1, x2, y2) => svg("line", { x1, y1, x2, y2, class: "grid" });

function words(x, y, text, anchor) {
  const element = svg("text", { x, y, "text-anchor": anchor });
  element.textContent = text;
  return element;
}

const path = (points, x, y) =>
  points.map(([at, value], index) => `${index ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("");

const key = (index) =>
  svg(
    "svg",
    { width: 22, height: 8, "aria-hidden": "true" },
    svg("path", { d: "M0 4H22", class: `line series-${index % 6}` }),
  );

/** Under the pointer: a line, and the values there. */
function point(plot, lines, x) {
  const line = svg("line", { y1: TOP, y2: BOTTOM, class: "pointer" });
  const read = words(0, TOP + 10, "", "start");
  read.setAttribute("class", "read");
  plot.append(line, read);
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const at = x.value(((event.clientX - box.left) * WIDTH) / box.width);
    const near = lines.map(([, points]) => nearest(points, at)).filter(Boolean);
    if (!near.length) return;
    const place = x(near[0][0]);
    line.setAttribute("x1", place);
    line.setAttribute("x2", place);
    read.setAttribute("x", place > (LEFT + RIGHT) / 2 ? place - 6 : place + 6);
    read.setAttribute("text-anchor", place > (LEFT + RIGHT) / 2 ? "end" : "start");
    read.textContent = `${short(near[0][0])}: ${near.map(([, value]) => short(value)).join(", ")}`;
    plot.classList.add("pointed");
  });
  plot.addEventListener("pointerleave", () => plot.classList.remove("pointed"));
}

const nearest = (points, at) =>
  points.reduce((best, one) => (!best || Math.abs(one[0] - at) < Math.abs(best[0] - at) ? one : best), null);

const ROWS = 20;

/** The same in words, thinned. */
function table(lines, over) {
  const places = lines.reduce((longest, [, points]) => (points.length > longest.length ? points : longest), []);
  const step = Math.max(1, Math.ceil(places.length / ROWS));
  const rows = places.filter((_, at) => at % step === 0 || at === places.length - 1);
  const head = el(
    "tr",
    {},
    el("th", { scope: "col" }, over),
    ...lines.map(([name]) => el("th", { scope: "col" }, name)),
  );
  const body = rows.map(([at]) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, short(at)),
      ...lines.map(([, points]) => el("td", {}, short(nearest(points, at)?.[1]))),
    ),
  );
  return el(
    "details",
    {},
    el("summary", { t: "chart.table" }),
    el(
      "div.scroll",
      { tabindex: 0, role: "region", label: "chart.table" },
      el("table", {}, el("thead", {}, head), el("tbody", {}, ...body)),
    ),
  );
}
