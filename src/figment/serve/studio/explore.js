/** The third tab: walk between seeds, or along the directions of a run's styles, and see every step at once. */
import { draw } from "./api.js";
import { animation } from "./apng.js";
import { el, field, picture } from "./dom.js";
import { say } from "./i18n.js";
import { can, labelChoice, runChoice, runOf } from "./library.js";
import { failed, notice } from "./notice.js";
import { Pace } from "./pace.js";
import { settingsForm } from "./settings.js";

const SPEED = 0.35; // seeds a second, of the walk that plays by itself
const FRAMES = 24; // of the animation, from one seed to the next
const REACH = 3; // standard deviations that the plane is walked to either side

/** The tab's content; `take(image)` walks from a picture that was made. */
export function exploreTab() {
  const settings = settingsForm(ask);
  const label = labelChoice();
  const runs = runChoice((run) => can(run, "Generates") && (run.spec?.frames ?? 1) === 1, showRun);
  const seeds = el("input", {
    type: "text",
    value: "0, 1, 2",
    inputmode: "numeric",
    pattern: "\\s*\\d+(\\s*[, ]\\s*\\d+)+\\s*",
    autocomplete: "off",
  });
  const way = el("input", { type: "range", min: 0, max: 2, step: 0.005, value: 0 });
  const across = plane("explore.first");
  const along = plane("explore.second");
  const walkField = field("explore.way", way);
  const axes = el("div.settings", { hidden: true }, across.node, along.node);
  const play = el("button.primary", { t: "explore.play", "aria-pressed": "false", onclick: () => toggle() });
  const save = el("button", { t: "explore.save", onclick: () => record() });
  const shown = picture("", "", { class: "big" });
  const rate = el("p.rate", { t: "explore.still" });
  const where = el("output.remark");
  let mode = "seeds";
  let playing = 0;

  const kinds = el(
    "div.kinds",
    { role: "group", label: "explore.mode", hidden: true },
    kindButton("seeds"),
    kindButton("plane"),
  );
  const pace = new Pace(
    (order) => draw("/api/walk", order),
    show,
    (error) => (stop(), failed(error)),
  );

  const seedField = field("explore.seeds", seeds, { t: "explore.seeds-about" });
  const form = el(
    "form.panel",
    { label: "tab.explore" },
    runs.node,
    label.node,
    kinds,
    seedField,
    walkField,
    axes,
    settings.node,
    el("div.buttons", {}, play, save),
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => (event.target === seeds ? refit() : ask()));
  label.select.addEventListener("change", ask);
  const node = el(
    "div.split",
    {},
    form,
    el("div.stage.centred", {}, el("figure.exhibit", {}, shown, el("figcaption", {}, where, rate))),
  );
  function plane(key) {
    const range = el("input", { type: "range", min: -REACH, max: REACH, step: 0.02, value: 0 });
    return { range, node: field(key, range) };
  }

  function kindButton(name) {
    return el("button", {
      t: `explore.${name}`,
      "aria-pressed": String(name === "seeds"),
      onclick: (event) => choose(name, event.target),
    });
  }

  function choose(name, button) {
    mode = name;
    for (const one of kinds.children) one.setAttribute("aria-pressed", String(one === button));
    axes.hidden = mode !== "plane";
    walkField.hidden = mode === "plane";
    ask();
  }

  const stops = () => (seeds.value.match(/\d+/g) ?? [0]).map(Number);

  function refit() {
    way.max = Math.max(1, stops().length - 1);
    ask();
  }

  function showRun(run) {
    label.show(run);
    settings.show(run?.settings, run?.sampling);
    kinds.hidden = !run?.has_plane;
    pace.times = [];
    choose(kinds.hidden ? "seeds" : mode, kinds.children[mode === "plane" && !kinds.hidden ? 1 : 0]);
  }

  function take(image) {
    runs.select.value = runOf(image.run).id;
    showRun(runs.run());
    label.set(image.label);
    seeds.value = `${image.seed}, ${image.seed + 1}, ${image.seed + 2}`;
    way.value = 0;
    refit();
  }

  /** What the server is asked at a place of the walk, in seeds from its start; or in the plane. */
  function order(at) {
    const rest = { run: runs.select.value, label: label.value(), settings: settings.values() };
    const path = stops();
    if (mode === "plane")
      return { ...rest, seed: path[0], plane: [Number(across.range.value), Number(along.range.value)] };
    const from = Math.min(Math.floor(at), Math.max(0, path.length - 2));
    return { ...rest, seed_a: path[from], seed_b: path[from + 1] ?? path[from], t: Number((at - from).toFixed(4)) };
  }

  function ask() {
    if (node.isConnected && runs.select.value && seeds.checkValidity()) pace.ask(order(Number(way.value)));
  }

  async function show(png, speed, { seed_a: from, seed_b: to, t, seed, plane }) {
    const old = shown.src;
    shown.src = URL.createObjectURL(png);
    URL.revokeObjectURL(old);
    say(rate, ["explore.rate", { rate: speed.toFixed(speed < 10 ? 1 : 0) }]);
    say(
      where,
      plane
        ? ["explore.at-plane", { seed, x: plane[0].toFixed(2), y: plane[1].toFixed(2) }]
        : ["explore.at", { from, to, share: Math.round(100 * t) }],
    );
  }

  function toggle() {
    if (playing) return stop();
    play.setAttribute("aria-pressed", "true");
    say(play, "explore.pause");
    let last = performance.now();
    const step = (now) => {
      advance(((now - last) / 1000) * SPEED);
      last = now;
      ask();
      playing = requestAnimationFrame(step);
    };
    playing = requestAnimationFrame(step);
  }

  /** There and back again: over the seeds, or round in the plane. */
  let heading = 1;
  function advance(by) {
    if (mode === "plane") {
      heading += by;
      across.range.value = 2 * Math.sin(2 * heading);
      along.range.value = 2 * Math.cos(2 * heading);
      return;
    }
    const next = Number(way.value) + by * Math.sign(heading);
    if (next >= Number(way.max)) heading = -1;
    else if (next <= 0) heading = 1;
    way.value = next;
  }

  function stop() {
    cancelAnimationFrame(playing);
    playing = 0;
    play.setAttribute("aria-pressed", "false");
    say(play, "explore.play");
  }

  /** Every frame of the way and back, as one file. */
  async function record() {
    stop();
    save.disabled = true;
    const total = FRAMES * (mode === "plane" ? 2 : Number(way.max));
    const frames = [];
    try {
      for (let at = 0; at <= total; at++) {
        frames.push(await draw("/api/walk", frameAt(at, total)));
        say(save, ["explore.saving", { done: frames.length, total: total + 1 }]);
      }
      const link = el("a", {
        href: URL.createObjectURL(await animation([...frames, ...frames.slice(1, -1).reverse()], FRAMES)),
        download: "figment-walk.png",
      });
      link.click();
      notice("explore.saved", { num: frames.length });
    } catch (error) {
      failed(error);
    } finally {
      save.disabled = false;
      say(save, "explore.save");
    }
  }

  function frameAt(at, total) {
    if (mode === "plane") across.range.value = REACH * ((2 * at) / total - 1);
    return order(at / FRAMES);
  }

  document.addEventListener("language", () => settings.speak());
  showRun(runs.run());
  return { node, take, show: ask, hide: stop };
}
