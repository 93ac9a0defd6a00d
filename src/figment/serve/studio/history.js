/** What was made before, newest first; it outlives the server. Stars, and a zip of what is picked. */
import { get } from "./api.js";
import { fillCard } from "./cards.js";
import { el } from "./dom.js";
import { say } from "./i18n.js";
import { failed } from "./notice.js";

const PAGE = 24;

/** The part of a tab that shows the history. */
export function historyPart() {
  const list = el("ul.cards.small", { label: "history.title" });
  const more = el("button", { t: "history.more", onclick: () => load(false) });
  const zip = el("a.button", { t: ["history.zip", { num: 0 }], hidden: true, download: "figment.zip" });
  const stars = el("input", { type: "checkbox", id: "history-stars", onchange: () => refresh() });
  const head = el(
    "div.bar",
    {},
    el("h2", { t: "history.title" }),
    el("span.tick", {}, stars, el("label", { for: stars.id, t: "history.stars" })),
    zip,
  );
  const none = el("p.remark", { t: "history.no-stars", hidden: true });
  const node = el("section.history", { hidden: true }, head, none, list, el("div.buttons", {}, more));
  const picked = new Set();
  let images = [];
  let offset = 0;

  function pick(image, isPicked) {
    if (isPicked) picked.add(image.id);
    else picked.delete(image.id);
    zip.hidden = !picked.size;
    say(zip, ["history.zip", { num: picked.size }]);
    zip.href = `/api/history.zip?ids=${[...picked].join(",")}`;
  }

  async function load(fresh) {
    try {
      const page = await get("/api/history", {
        offset: fresh ? 0 : offset,
        limit: PAGE,
        starred: stars.checked ? "true" : null,
      });
      const found = page.images;
      if (fresh) [images, offset] = [[], 0];
      offset += page.images.length;
      images.push(...found);
      const cards = found.map((image) => {
        const place = el("li");
        fillCard(place, image, () => images, pick);
        return place;
      });
      if (fresh) list.replaceChildren(...cards);
      else list.append(...cards);
      more.hidden = offset >= page.total;
      node.hidden = !page.total && !stars.checked;
      none.hidden = page.total > 0;
    } catch (error) {
      failed(error);
    }
  }

  function refresh() {
    picked.clear();
    zip.hidden = true;
    return load(true);
  }

  return { node, refresh };
}
