/**
 * A form made of settings as the server tells them: of a run, or of an edit.
 *
 * Only what was changed is sent: a setting that would have no effect is an error, and a default may be the run's own.
 */
import { choice, el } from "./dom.js";
import { known } from "./i18n.js";

// Sliders for numbers: [least, most, step] of what is of use; the box beside them takes all that is allowed.
const DIALS = {
  steps: [1, 100, 1],
  guidance: [0, 10, 0.1],
  truncation: [0, 1.5, 0.05],
  temperature: [0.1, 2, 0.05],
  strength: [0, 1, 0.01],
};
const MAIN = ["steps", "guidance", "truncation", "temperature", "strength", "scale", "amount", "sampler"];
const MANY = 6; // settings beyond the main ones are folded away where there are more than so many

let made = 0;

/** A form for settings [{name, type, default, choices, low, high, help}]. `changed()` is called at every change. */
export function settingsForm(changed = () => {}) {
  const node = el("div.settings");
  let rows = [];
  return {
    node,
    /** Show other settings, at their defaults; `own` holds defaults that are the run's, such as tuned ones. */
    show(settings = [], own = {}) {
      rows = settings
        .filter(({ type }) => type !== "array")
        .map((one) => row({ ...one, default: own[one.name] ?? one.default }, changed));
      const main = rows.filter(({ name }) => rows.length <= MANY || MAIN.includes(name));
      const more = rows.filter((one) => !main.includes(one));
      const folded = el("details", {}, el("summary", { t: "settings.more" }), ...more.map((one) => one.node));
      node.replaceChildren(...main.map((one) => one.node), ...(more.length ? [folded] : []));
      node.hidden = !rows.length;
    },
    /** What was changed: {name: value}. */
    values: () => Object.fromEntries(rows.filter((one) => one.isChanged()).map((one) => [one.name, one.value()])),
    /** Put values in; whatever is not named goes back to its default. */
    set(values = {}) {
      for (const one of rows) one.put(one.name in values ? values[one.name] : one.initial);
    },
    /** Say the names of the settings in the language of now. */
    speak: () => rows.forEach((one) => one.speak()),
  };
}

function row(setting, changed) {
  const { name, help } = setting;
  const id = `setting-${++made}`;
  const title = el("span");
  const remark = el("span.remark", { id: `${id}-about` });
  const initial = setting.default ?? null;
  const { control, extra, value, put } = inputFor(id, setting);
  control.setAttribute("aria-describedby", remark.id);
  const speak = () => {
    title.textContent = known("setting", name, name.replaceAll("_", " "));
    remark.textContent = known("about", name, help ?? "");
    extra?.setAttribute("aria-label", title.textContent);
  };
  speak();
  put(initial);
  const node = el(
    "div.field.setting",
    {},
    el("label", { for: id }, title),
    el("div.inputs", {}, control, extra),
    remark,
  );
  node.addEventListener("input", changed);
  return {
    name,
    node,
    value,
    put,
    speak,
    initial,
    isChanged: () => JSON.stringify(value()) !== JSON.stringify(initial),
  };
}

function inputFor(id, setting) {
  if (setting.choices) return listed(id, setting.choices);
  if (setting.type === "boolean") return ticked(id);
  if (setting.type === "integer" || setting.type === "number") return numbered(id, setting);
  const control = el("input", { id, type: "text", autocomplete: "off" });
  return {
    control,
    value: () => control.value || (setting.default ?? null),
    put: (value) => (control.value = value ?? ""),
  };
}

function listed(id, choices) {
  const control = choice(
    choices.map((one) => [one ?? "", String(one ?? "–")]),
    { id },
  );
  const value = () => choices.find((one) => String(one ?? "") === control.value) ?? null;
  return { control, value, put: (value) => (control.value = value ?? "") };
}

function ticked(id) {
  const control = el("input", { id, type: "checkbox" });
  return { control, value: () => control.checked, put: (value) => (control.checked = Boolean(value)) };
}

/** A number, with a slider beside it where we know what range is of use. */
function numbered(id, setting) {
  const whole = setting.type === "integer";
  const dial = DIALS[setting.name] ?? [setting.low, setting.high, whole ? 1 : (setting.high - setting.low) / 100];
  const control = el("input", {
    id,
    type: "number",
    step: whole ? 1 : "any",
    min: setting.low,
    max: setting.high,
    inputmode: "decimal",
  });
  const value = () => (control.value === "" ? null : Number(control.value));
  const isBounded = [dial[0], dial[1], setting.default].every((one) => one !== null && one !== undefined);
  if (!isBounded) return { control, value, put: (value) => (control.value = value ?? "") };
  const [min, max, step] = [
    Math.max(dial[0], setting.low ?? dial[0]),
    Math.min(dial[1], setting.high ?? dial[1]),
    dial[2],
  ];
  const extra = el("input", { type: "range", min, max, step });
  extra.addEventListener("input", () => (control.value = String(Number(Number(extra.value).toFixed(4)))));
  control.addEventListener("input", () => (extra.value = control.value));
  const put = (value) => {
    control.value = value ?? "";
    extra.value = value ?? min;
  };
  return { control, extra, value, put };
}
