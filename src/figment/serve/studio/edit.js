/** The second tab: a photo, a mask painted on it, an edit that the run can do, and its answers side by side. */
import { follow, send, shareDone } from "./api.js";
import { brushes } from "./brushes.js";
import { fillCard, preview, waiting } from "./cards.js";
import { choice, el, field, fileButton, fill, onDrop, picture } from "./dom.js";
import { known } from "./i18n.js";
import { editsOf, labelChoice, runChoice, runOf } from "./library.js";
import { failed, notice } from "./notice.js";
import { Painter } from "./paint.js";
import { photo } from "./photo.js";
import { settingsForm } from "./settings.js";
import { beforeAfter } from "./slider.js";

const nameOf = (edit) => known("edit-name", edit, edit.replaceAll("_", " "));
const takesPicture = ({ inputs }) => inputs.some((one) => one.startsWith("image"));

/** The tab's content; `take(image)` opens a picture that was made. */
export function editTab() {
  const settings = settingsForm();
  const drawing = settingsForm();
  const label = labelChoice();
  const caption = el("input", { type: "text", autocomplete: "off", maxlength: 300 });
  const captionField = field("field.caption", caption);
  const runs = runChoice((run) => run.edits.length, showRun);
  const kind = choice([], { onchange: showEdit });
  const about = el("p.remark");
  const kindField = field("edit.kind", kind);
  const seed = el("input", { type: "number", min: 0, step: 1, value: "0" });
  const num = el("input", { type: "number", min: 1, max: 16, step: 1, value: "4" });
  const start = el("button.primary", { type: "submit", t: "edit.go", "aria-keyshortcuts": "Control+Enter" });
  const stop = el("button", { t: "app.stop", hidden: true });
  const bar = el("progress", { label: "app.progress", hidden: true, max: 1 });

  const painter = new Painter({ label: "edit.canvas" });
  const tools = brushes(painter, { mask: true });
  const under = picture("", "", { class: "under" });
  const easel = el("div.easel", { hidden: true }, under, painter.canvas, painter.cross);
  const place = el("div.drop", {}, el("p", { t: "edit.drop" }), fileButton("edit.open", open, { multiple: true }));
  const others = el("ul.strip", { label: "edit.pictures" });
  const style = el("span");
  const styleField = el(
    "div.field",
    { hidden: true },
    el("span.name", { t: "edit.style" }),
    fileButton("edit.open", ([file]) => takeStyle(file)),
    style,
  );
  const compare = el("div.compared");
  const answers = el("ul.cards", { label: "edit.answers" });
  const extras = el("div.extras");
  const given = { images: [], style: null };

  const form = el(
    "form.panel",
    { label: "tab.edit" },
    runs.node,
    kindField,
    about,
    label.node,
    captionField,
    styleField,
    settings.node,
    el("details", {}, el("summary", { t: "edit.drawing" }), drawing.node),
    el("div.pair", {}, field("field.seed", seed), field("edit.num", num)),
    el("div.buttons", {}, start, stop),
    bar,
  );
  form.addEventListener("submit", (event) => (event.preventDefault(), run()));
  const work = el(
    "div.stage",
    {},
    place,
    el("div.bench", {}, el("div", {}, easel, tools.node), compare),
    others,
    answers,
    extras,
  );
  const node = el("div.split", {}, form, work);
  onDrop(node, open);

  const edit = () => runs.run()?.edits.find((one) => one.name === kind.value);
  const takes = (name) => edit()?.inputs.some((one) => one.replace("?", "") === name) ?? false;

  function showRun(run) {
    label.show(run);
    captionField.hidden = !run?.has_captions;
    drawing.show(run?.settings, run?.sampling);
    const all = [...editsOf(run, takesPicture), ...editsOf(run, (one) => !takesPicture(one))];
    fill(
      kind,
      all.map((one) => [one.name, nameOf(one.name)]),
    );
    showEdit();
  }

  function showEdit() {
    about.textContent = known("edit-about", edit()?.name, edit()?.summary ?? "");
    settings.show(edit()?.settings);
    styleField.hidden = !takes("style");
    showPicture();
  }

  function showPicture() {
    const wanted = takes("image") || takes("images");
    const first = given.images[0];
    place.hidden = !wanted;
    place.classList.toggle("slim", Boolean(first));
    easel.hidden = !wanted || !first;
    tools.node.hidden = painter.canvas.hidden = easel.hidden || !takes("mask");
    painter.cross.hidden = true;
    others.hidden = !takes("images");
    others.replaceChildren(...given.images.map((one) => el("li", {}, picture(one.url))));
  }

  async function open(files) {
    if (edit() && !takesPicture(edit())) kind.value = editsOf(runs.run(), takesPicture)[0]?.name ?? kind.value;
    try {
      const opened = await Promise.all(files.map(photo));
      given.images = takes("images") ? [...given.images, ...opened] : opened.slice(0, 1);
      const first = given.images[0];
      under.src = first.url;
      easel.style.setProperty("--shape", `${first.width} / ${first.height}`);
      easel.style.setProperty("--wide", String(first.width / first.height));
      painter.reset(first.width, first.height);
      tools.refit();
      showEdit();
      for (const part of [compare, answers, extras]) part.replaceChildren();
    } catch (error) {
      failed(error);
    }
  }

  async function takeStyle(file) {
    try {
      given.style = await photo(file);
      style.replaceChildren(picture(given.style.url));
    } catch (error) {
      failed(error);
    }
  }

  async function body(order) {
    const sent = new FormData();
    const pictures = takes("images") ? given.images : takes("image") ? given.images.slice(0, 1) : [];
    pictures.forEach((one, at) => sent.append("image", one.file, `${at}.png`));
    if (takes("mask") && !painter.isEmpty) sent.append("mask", await painter.mask(), "mask.png");
    if (takes("style") && given.style) sent.append("style", given.style.file, "style.png");
    sent.append("request", JSON.stringify(order));
    return sent;
  }

  async function run() {
    if (!form.reportValidity()) return;
    const { inputs } = edit();
    if ((inputs.includes("image") || inputs.includes("images")) && !given.images.length)
      return notice("edit.open-first", {}, "bad");
    if (inputs.includes("mask") && painter.isEmpty) return notice("edit.paint-first", {}, "bad");
    const first = Number(seed.value);
    const seeds = Array.from({ length: Number(num.value) }, (_, at) => first + at);
    const words = captionField.hidden ? "" : caption.value.trim();
    const order = {
      run: runs.select.value,
      edit: kind.value,
      config: settings.values(),
      settings: drawing.values(),
      seeds,
      ...(words ? { caption: words } : { label: label.value() }),
    };
    const places = seeds.map(waiting);
    answers.replaceChildren(...places);
    for (const part of [compare, extras]) part.replaceChildren();
    start.disabled = true;
    bar.hidden = stop.hidden = false;
    bar.removeAttribute("value");
    try {
      const { job } = await send("/api/edit", await body(order));
      const callOff = follow(job, heard(order, places));
      stop.onclick = () => (callOff(), finish());
    } catch (error) {
      finish();
      failed(error);
    }
  }

  function heard(order, places) {
    const made = [];
    return {
      progress: (now) => (bar.value = shareDone(now)),
      preview: ({ place, png_b64: png }) => preview(places[place], `data:image/png;base64,${png}`),
      image: (data) => {
        const image = { ...order, ...data };
        if (data.kind !== "picture") return showExtra(image);
        const card = places[data.place] ?? answers.appendChild(waiting());
        made.push(image);
        fillCard(card, image, () => made);
        const before = given.images[0];
        if (!before || easel.hidden) return;
        card
          .querySelector(".foot")
          .prepend(
            el(
              "button.quiet",
              { label: "edit.compare", title: "edit.compare", onclick: () => show(before, image) },
              "◧",
            ),
          );
        if (made.length === 1) show(before, image);
      },
      done: ({ figures }) => (showFigures(figures), finish("edit.done")),
      error: (error) => (finish(), failed(error)),
    };
  }

  function showExtra({ kind, url, id }) {
    const name = known("extra", kind, kind.replaceAll("_", " "));
    const shown =
      kind === "file" ? el("a.button", { href: url, download: id, t: "card.download" }) : picture(url, name);
    extras.append(el("figure", {}, shown, el("figcaption", {}, name)));
  }

  function showFigures(figures) {
    const told = Object.entries(figures ?? {}).map(
      ([name, value]) => `${name.replaceAll("_", " ")} ${Number(value).toPrecision(4)}`,
    );
    if (told.length) extras.append(el("p.remark", {}, told.join(" · ")));
  }

  const show = (before, image) => compare.replaceChildren(beforeAfter(before.url, image.url, String(image.seed)));

  function finish(key = null) {
    start.disabled = false;
    bar.hidden = stop.hidden = true;
    for (const one of answers.querySelectorAll(".waiting")) one.remove();
    if (key) notice(key);
  }

  document.addEventListener("language", () => {
    for (const option of kind.options) option.textContent = nameOf(option.value);
    about.textContent = known("edit-about", edit()?.name, edit()?.summary ?? "");
    settings.speak();
    drawing.speak();
  });
  showRun(runOf(runs.select.value));
  const take = async (image) => open([await (await fetch(image.url)).blob()]);
  return { node, take, go: () => form.requestSubmit() };
}
