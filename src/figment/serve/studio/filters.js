/** Which pictures of a dataset are shown, and how a sheet loads them. */
import { get } from "./api.js";
import { short } from "./chart.js";
import { choice, el, field } from "./dom.js";
import { known, say } from "./i18n.js";
import { failed } from "./notice.js";

/** Filters over a dataset's pictures; changed() is called when one of them is. `names`: which of them there are. */
export function filters(data, names, changed) {
  const labels = data.labels
    .filter(({ label }) => label !== null)
    .map(({ label, count }) => [`=${label}`, `${label} (${short(count)})`]);
  const reasons = data.reasons.map(({ step, count }) => [step, `${known("step", step)} (${short(count)})`]);
  const lists = {
    split: choice([["", { t: "data.all" }], ...["train", "val", "test"].map((one) => [one, { t: `split.${one}` }])]),
    label: choice([["", { t: "data.all" }], ["unlabelled", { t: "data.unlabelled" }], ...labels]),
    step: choice([["", { t: "data.all" }], ...reasons]),
    order: choice([
      ["row", { t: "data.by-row" }],
      ["useful", { t: "data.by-use" }],
    ]),
  };
  if (!data.has_useful) names = names.filter((name) => name !== "order");
  const node = el(
    "div.filters",
    { role: "group", label: "data.filters" },
    ...names.map((name) => field(`data.${name}`, lists[name])),
  );
  node.addEventListener("change", changed);
  return {
    node,
    /** What the server is asked. */
    query() {
      const value = (name) => (names.includes(name) ? lists[name].value || null : null);
      const label = value("label");
      const asked = label === "unlabelled" ? { unlabelled: "true" } : { label: label?.slice(1) ?? null };
      return { split: value("split"), step: value("step"), order: value("order"), ...asked };
    },
  };
}

/** A function for a Grid to load by: pictures of `data` as `query()` says; `total` tells how many there are. */
export function loader(data, query, total) {
  return async (offset, limit) => {
    try {
      const found = await get(`/api/data/${data.id}/images`, { ...query(), offset, limit });
      say(total, ["data.total", { num: short(found.total) }]);
      return found;
    } catch (error) {
      failed(error);
      throw error;
    }
  };
}
