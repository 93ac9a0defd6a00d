/** A picture, large, with the recipe that made it and what can be done with it. Arrow keys go on to its neighbours. */
import { el, picture } from "./dom.js";
import { known, text } from "./i18n.js";
import { runOf } from "./library.js";

const dialog = el("dialog.viewer", { label: "viewer.title" });
document.body.append(dialog);

let shown = null;
let among = [];

/** Ways to go on with a picture: [key, (image) => ...], added by the tabs that know how. */
const ways = [];
export const offer = (key, go, fits = () => true) => ways.push({ key, go, fits });

/** Open an image; `others` are those before and after it. */
export function view(image, others = [image]) {
  among = others;
  show(image);
  if (!dialog.open) dialog.showModal();
}

/** Open a picture that is no part of the history, such as a grid of samples. */
export function look(url, title) {
  among = [];
  dialog.replaceChildren(close(), picture(url, title), el("h2", {}, title));
  if (!dialog.open) dialog.showModal();
}

const close = () => el("button.quiet.close", { label: "viewer.close", onclick: () => dialog.close() }, "×");

function show(image) {
  shown = image;
  const buttons = ways
    .filter(({ fits }) => fits(image))
    .map(({ key, go }) => el("button", { t: key, onclick: () => leave(go, image) }));
  const load = el("a.button", { href: image.url, download: `${image.id}.png`, t: "card.download" });
  const title = image.caption || image.label || text("card.seed", { seed: image.seed });
  dialog.replaceChildren(
    close(),
    el("div.large", {}, picture(image.url, title)),
    el(
      "div.beside",
      {},
      el("h2", {}, title),
      facts(image),
      el("div.buttons", {}, ...buttons, load),
      el("p.remark", { t: "viewer.recipe" }),
    ),
  );
}

function leave(go, image) {
  dialog.close();
  go(image);
}

/** The settings that a picture was made with: as its recipe tells, or what was asked over the run's own. */
const settingsOf = ({ run, recipe, settings, config }) =>
  recipe
    ? { ...recipe.settings, ...recipe.config }
    : { ...(config ? {} : runOf(run)?.sampling), ...settings, ...config };

/** The recipe as names and values. */
function facts(image) {
  const run = runOf(image.run)?.name ?? image.run;
  const said = {
    run,
    edit: image.edit,
    label: image.label,
    caption: image.caption,
    seed: image.seed,
    ...settingsOf(image),
  };
  const rows = Object.entries(said).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el(
    "dl.facts",
    {},
    ...rows.map(([name, value]) =>
      el("div", {}, el("dt", {}, known("setting", name, name)), el("dd", {}, String(value))),
    ),
  );
}

dialog.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const next = step && among[among.findIndex((one) => one.id === shown?.id) + step];
  if (next) show(next);
});
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
