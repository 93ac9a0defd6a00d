/** A score's interval as a bar, with its floor: what real pictures score in place of generated ones. */
import { short } from "./chart.js";
import { el, svg } from "./dom.js";

const [WIDTH, HEIGHT, PAD] = [180, 14, 6];

/** A bar for {value, low, high, floor}; `span` is [least, most] of the row of bars that it stands in. */
export function interval({ value, low, high, floor }, [least, most]) {
  const place = (number) => PAD + ((WIDTH - 2 * PAD) * (number - least)) / (most - least || 1);
  const bar = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    width: WIDTH,
    height: HEIGHT,
    class: "interval",
    "aria-hidden": "true",
  });
  bar.append(svg("rect", { x: PAD, y: 6, width: WIDTH - 2 * PAD, height: 2, class: "rail" }));
  if (isNumber(low))
    bar.append(
      svg("rect", {
        x: place(low),
        y: 3,
        width: Math.max(1, place(high) - place(low)),
        height: 8,
        rx: 3,
        class: "spread",
      }),
    );
  if (isNumber(floor)) bar.append(svg("rect", { x: place(floor) - 1, y: 0, width: 2, height: HEIGHT, class: "tick" }));
  bar.append(svg("circle", { cx: place(value), cy: 7, r: 4, class: "point" }));
  return bar;
}

/** The interval in words, and that its value lies beyond it, where few pictures make the score itself too large. */
export function bounds({ value, low, high }) {
  if (!isNumber(low)) return el("span.remark");
  const key = value < low || value > high ? "runs.beyond" : "runs.from-to";
  return el("span.remark", { t: [key, { low: short(low), high: short(high) }] });
}

const isNumber = (value) => Number.isFinite(value);

/** The least and most of all that the scores of one metric show. */
export function span(scores) {
  const all = scores.flatMap(({ value, low, high, floor }) => [value, low, high, floor]).filter(isNumber);
  return [Math.min(...all), Math.max(...all)];
}
