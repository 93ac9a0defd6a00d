/** The studio: its tabs, its languages, its keys. Every tab is a module of its own, made when it is first opened. */
import { compareTab } from "./compare.js";
import { dataTab } from "./data.js";
import { el } from "./dom.js";
import { editTab } from "./edit.js";
import { exploreTab } from "./explore.js";
import { generateTab } from "./generate.js";
import { preferred, speak, spoken } from "./i18n.js";
import { allRuns, can, load, runOf } from "./library.js";
import { liveTab } from "./live.js";
import { failed } from "./notice.js";
import { runsTab } from "./runs.js";
import { openShortcuts } from "./shortcuts.js";
import { offer } from "./viewer.js";

const TABS = {
  generate: generateTab,
  edit: editTab,
  explore: exploreTab,
  live: liveTab,
  runs: runsTab,
  compare: compareTab,
  data: dataTab,
};
const FIRST = "generate";
const LEAD = "g"; // g and then, within LEAD_MS, a letter goes to a tab
const LEAD_MS = 2000;
const LETTERS = { g: "generate", e: "edit", x: "explore", l: "live", r: "runs", c: "compare", d: "data" };

const main = document.getElementById("main");
const opened = {};
let current = null;

function go(name) {
  location.hash = name;
  show();
}

/** What a large picture can be taken to. */
function offers() {
  const to = (name) => (image) => (go(name), opened[name].tab.take(image));
  offer("viewer.restore", to("generate"), (image) => !image.edit && runOf(image.run));
  offer("viewer.edit", to("edit"), () => allRuns().some((run) => run.edits.length));
  offer("viewer.walk", to("explore"), (image) => !image.edit && runOf(image.run) && can(runOf(image.run), "Generates"));
}

/** Show the tab that the address names. */
function show() {
  const name = location.hash.slice(1) in TABS ? location.hash.slice(1) : FIRST;
  if (current && current !== name) opened[current].tab.hide?.();
  if (!opened[name]) {
    const tab = TABS[name]();
    opened[name] = { tab, section: el("section.tab", { label: `tab.${name}` }, tab.node) };
    main.append(opened[name].section);
  }
  for (const [other, { section }] of Object.entries(opened)) section.hidden = other !== name;
  for (const link of document.querySelectorAll("#tabs a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.querySelector("#tabs a[aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
  current = name;
  opened[name].tab.show?.();
}

let led = -LEAD_MS; // when it was pressed

function key(event) {
  if ((event.ctrlKey || event.metaKey) && event.key === "Enter") return opened[current]?.tab.go?.();
  const isWriting = event.target.closest(
    "input:not([type=range], [type=checkbox]), textarea, select, [contenteditable], dialog",
  );
  if (isWriting || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "?") return openShortcuts();
  if (event.timeStamp - led < LEAD_MS && LETTERS[event.key]) {
    led = -LEAD_MS;
    event.preventDefault();
    return go(LETTERS[event.key]);
  }
  led = event.key === LEAD ? event.timeStamp : -LEAD_MS;
}

function languages() {
  const button = document.getElementById("language");
  const show = () => {
    button.textContent = spoken() === "zh" ? "English" : "中文";
    button.lang = spoken() === "zh" ? "en" : "zh";
  };
  button.addEventListener("click", () => (speak(spoken() === "zh" ? "en" : "zh"), show()));
  speak(preferred());
  show();
}

async function start() {
  const tabs = document.getElementById("tabs");
  tabs.append(...Object.keys(TABS).map((name) => el("li", {}, el("a", { href: `#${name}`, t: `tab.${name}` }))));
  languages();
  document.getElementById("help").addEventListener("click", openShortcuts);
  document.addEventListener("keydown", key);
  // A file that misses its place must not replace the page.
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
  try {
    await load();
  } catch (error) {
    main.append(el("p.empty", { t: "app.away" }));
    return failed(error);
  }
  offers();
  window.addEventListener("hashchange", () => location.hash !== `#${current}` && show());
  show();
}

start();
