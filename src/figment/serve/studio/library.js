/** What the server was started with: its runs and its datasets, asked for once. */
import { get } from "./api.js";
import { choice, field, fill } from "./dom.js";

const FIRST = ["inpaint", "redraw", "variations", "reconstruct"];

let runs = [];
let sets = [];

/** Ask for the runs and datasets; they do not change while the server runs. */
export async function load() {
  [{ runs }, { datasets: sets }] = await Promise.all([get("/api/runs"), get("/api/data")]);
}

/** Ask for the datasets again: what was refused meanwhile counts. */
export async function loadData() {
  ({ datasets: sets } = await get("/api/data"));
}

export const allRuns = () => runs;
export const allData = () => sets;
/** A run by its id; or by its name, as the history knows it. */
export const runOf = (id) => runs.find((run) => run.id === id) ?? runs.find((run) => run.name === id);
/** The edits of a run that `fits`, those that most people come for first. */
export function editsOf(run, fits = () => true) {
  const place = ({ name }) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return (run?.edits ?? []).filter(fits).sort((one, other) => place(one) - place(other));
}

export const can = (run, ...names) => names.every((name) => run.capabilities.includes(name));

/** A run's name, with its family where the name does not tell it. */
export const titleOfRun = (run) => (run.name === run.family ? run.name : `${run.name} · ${run.family}`);

/** A list of the runs that `fits`, and the run that is chosen in it. `chosen(run)` is called at every change. */
export function runChoice(fits, chosen) {
  const fitting = runs.filter(fits);
  const select = choice(fitting.map((run) => [run.id, titleOfRun(run)]));
  select.addEventListener("change", () => chosen(runOf(select.value)));
  return { node: field("field.run", select), select, fitting, run: () => runOf(select.value) };
}

/** A list of what a run can be asked for; without classes it is hidden. `all` offers every class in turn. */
export function labelChoice({ all = false } = {}) {
  const select = choice([]);
  const node = field("field.label", select);
  return {
    node,
    select,
    show(run) {
      node.hidden = !run?.classes?.length;
      const open = [["", { t: "field.any" }], ...(all ? [["all", { t: "field.each" }]] : [])];
      fill(select, [...open, ...(run?.classes ?? []).map((name) => [`=${name}`, name])]);
    },
    /** What the server is told: a class, "all", or null for any. */
    value: () => (select.value.startsWith("=") ? select.value.slice(1) : select.value || null),
    set(label) {
      select.value = label === "all" && all ? "all" : label && label !== "none" ? `=${label}` : "";
    },
  };
}
