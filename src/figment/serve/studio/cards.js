/** A picture that was made, as a card: it opens large, can be starred, taken away, and picked for a zip. */
import { post } from "./api.js";
import { el, picture } from "./dom.js";
import { text } from "./i18n.js";
import { failed } from "./notice.js";
import { view } from "./viewer.js";

/** What a picture is, in words: its class or caption and its seed. */
export function titleOf(image) {
  const asked = image.caption || (image.label && image.label !== "none" ? image.label : null);
  return asked ? text("card.asked", { asked, seed: image.seed }) : text("card.seed", { seed: image.seed });
}

/** A place that waits for its picture. */
export function waiting() {
  return el("li.card.waiting", {}, el("div.thumb", { "aria-hidden": "true" }));
}

/** Show how far a waiting picture is. */
export function preview(place, url) {
  const shown = place.querySelector("img");
  if (shown) shown.src = url;
  else place.querySelector(".thumb").replaceChildren(picture(url));
}

/**
 * Put an image's card into `place`. image: {id, seed, url, label, caption, is_starred, recipe}; `others` are those that
 * the arrow keys go to in the large view; `pick(image, isPicked)` offers a tick.
 */
export function fillCard(place, image, others, pick = null) {
  const title = titleOf(image);
  const open = el("button.thumb", { onclick: () => view(image, others()) }, picture(image.url, title));
  const tick =
    pick &&
    el("input", {
      type: "checkbox",
      label: ["card.pick", { title }],
      onchange: (event) => pick(image, event.target.checked),
    });
  const load = el(
    "a.quiet.save",
    { href: image.url, download: `${image.id}.png`, label: ["card.save", { title }], title: "card.download" },
    "↓",
  );
  const foot = el("div.foot", {}, tick, el("span.name", {}, title), starButton(image), load);
  place.className = "card";
  place.replaceChildren(open, foot);
}

/** A star to switch on and off. */
export function starButton(image) {
  const button = el("button.quiet.star", {}, "");
  const show = () => {
    button.textContent = image.is_starred ? "★" : "☆";
    button.setAttribute("aria-pressed", String(Boolean(image.is_starred)));
    button.setAttribute("aria-label", text("card.star", { title: titleOf(image) }));
  };
  button.addEventListener("click", async () => {
    image.is_starred = !image.is_starred;
    show();
    try {
      await post(`/api/history/${image.id}/star`, { starred: image.is_starred });
    } catch (error) {
      image.is_starred = !image.is_starred;
      show();
      failed(error);
    }
  });
  show();
  return button;
}
