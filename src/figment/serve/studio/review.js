/** What was refused, with its reason, to be taken back; and pictures that are alike, to be judged side by side. */
import { get, post } from "./api.js";
import { filters, loader } from "./filters.js";
import { el, picture } from "./dom.js";
import { known, say, text } from "./i18n.js";
import { Grid } from "./grid.js";
import { failed, notice } from "./notice.js";

const GROUPS = 20;

/** The review of a dataset. */
export function reviewPart(data) {
  const total = el("span.remark");
  const filter = filters(data, ["step"], () => grid.reload().catch(failed));
  const reason = el("p.remark", { role: "status" });
  const restore = el("button.primary", {
    t: "review.restore",
    "aria-keyshortcuts": "r",
    onclick: () => restoreChosen(),
    hidden: !data.is_writable,
  });
  const grid = new Grid({
    label: "review.refused",
    key: (event) => event.key === "r" && data.is_writable && restoreChosen(),
    load: loader(data, () => ({ ...filter.query(), status: "rejected" }), total),
    mark: (image) => (image.status === "rejected" ? known("step", image.step ?? "") : text("review.back")),
    current: (image) => {
      reason.textContent = image ? [image.key, image.reason].filter(Boolean).join(": ") : text("review.no-refused");
      grid.node.hidden = !image;
      restore.hidden = !image || !data.is_writable;
    },
  });
  const groups = el("div.groups");
  const more = el("button", { t: "history.more", hidden: true, onclick: () => load() });
  const count = el("span.remark");
  const refused = el(
    "section",
    {},
    el("div.bar", {}, el("h2", { t: "review.refused" }), filter.node, total),
    grid.node,
    reason,
    el("div.buttons", {}, restore),
  );
  const alike = el(
    "section",
    {},
    el("div.bar", {}, el("h2", { t: "review.alike" }), count),
    el("p.remark", { t: "review.alike-about" }),
    groups,
    el("div.buttons", {}, more),
  );
  const node = el("div.review", {}, refused, alike);
  let offset = 0;

  async function take(images) {
    const gone = images.filter((image) => image.status === "rejected");
    if (!gone.length) return;
    try {
      const { restored } = await post(`/api/data/${data.id}/restore`, { rows: gone.map(({ row }) => row) });
      for (const image of gone.filter(({ row }) => restored.includes(row)))
        Object.assign(image, { status: "accepted", reason: null });
      notice("review.restored", { num: restored.length });
    } catch (error) {
      failed(error);
    }
  }

  async function restoreChosen() {
    await take(await grid.chosen());
    grid.next();
    grid.node.focus();
  }

  async function load() {
    try {
      const found = await get(`/api/data/${data.id}/duplicates`, { offset, limit: GROUPS });
      offset += found.groups.length;
      groups.append(...found.groups.map(group));
      more.hidden = offset >= found.total;
      say(count, ["review.groups", { num: found.total }]);
    } catch (error) {
      failed(error);
    }
  }

  function group({ images }) {
    return el("ul.cards.small", { label: "review.group" }, ...images.map(member));
  }

  function member(image) {
    const place = el("li.card");
    const show = () => {
      const isIn = image.status !== "rejected";
      const state = isIn
        ? el("span.chip", { t: "review.in" })
        : el("span.chip.out", { t: "review.out", title: "review.out" });
      const back =
        !isIn &&
        data.is_writable &&
        el("button.quiet", { t: "review.restore", onclick: () => take([image]).then(show) });
      place.replaceChildren(
        el("div.thumb", {}, picture(image.url, image.key)),
        el("div.foot", {}, state, image.label ? el("span.name", {}, image.label) : null, back),
      );
    };
    show();
    return place;
  }

  return {
    node,
    show() {
      if (!grid.total) grid.reload().catch(failed);
      if (!offset) load();
    },
  };
}
