/**
 * Elements, made without innerHTML: whatever text comes from a run or a dataset stays text.
 *
 * el("button.primary", {t: "generate.go", onclick: go}) is a button; t, label, title and placeholder name texts of the
 * language tables and follow a change of language; what begins with "on" listens; the rest are attributes, of which
 * false and null are left out.
 */
import { say } from "./i18n.js";

const TRANSLATED = ["t", "label", "title", "placeholder"];

/** An element of `tag` (with .classes) that holds `children`: elements, texts, or null for nothing. */
export function el(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (TRANSLATED.includes(key)) say(element, value, key);
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  if (name === "button" && !properties.type) element.type = "button";
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

let named = 0;

/** A control below the text that names it, `key` of the language tables; a remark is {t: key} too. */
export function field(key, control, remark = null) {
  control.id ||= `field-${++named}`;
  const about = remark && el("span.remark", { id: `${control.id}-about`, ...remark });
  if (about) control.setAttribute("aria-describedby", about.id);
  return el("div.field", {}, el("label", { for: control.id, t: key }), control, about);
}

/** A list to choose from; options: [value, text] or [value, {t: key}]. */
export function choice(options, properties = {}) {
  const select = el("select", properties);
  fill(select, options);
  return select;
}

/** Give a select other options, and keep what was chosen where it is still there. */
export function fill(select, options) {
  const before = select.value;
  select.replaceChildren(
    ...options.map(([value, text]) => el("option", { value, ...(text.t ? { t: text.t } : {}) }, text.t ? null : text)),
  );
  if (options.some(([value]) => String(value) === before)) select.value = before;
}

/** A picture, shown in hard pixels wherever it is enlarged. */
export function picture(source, alt = "", properties = {}) {
  const image = el("img", { alt, draggable: "false", ...properties });
  image.addEventListener("load", () =>
    image.classList.toggle("pixels", image.naturalWidth < 1.5 * image.clientWidth || image.naturalWidth <= 128),
  );
  if (source) image.src = source;
  return image;
}

/** A button that asks for files and hands them to `take`; it is how a keyboard drops a picture. */
export function fileButton(key, take, { multiple = false, accept = "image/*" } = {}) {
  const input = el("input", { type: "file", accept, multiple, hidden: true });
  input.addEventListener("change", () => {
    if (input.files.length) take([...input.files]);
    input.value = "";
  });
  return el("span.file", {}, el("button", { t: key, onclick: () => input.click() }), input);
}

/** Let files be dropped on an element. */
export function onDrop(element, take) {
  const stop = (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return false;
    event.preventDefault();
    return true;
  };
  element.addEventListener("dragover", (event) => stop(event) && element.classList.add("dropping"));
  element.addEventListener("dragleave", () => element.classList.remove("dropping"));
  element.addEventListener("drop", (event) => {
    element.classList.remove("dropping");
    if (stop(event) && event.dataTransfer.files.length) take([...event.dataTransfer.files]);
  });
}
