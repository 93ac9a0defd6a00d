/** Languages: every text of the page stands in a table, and elements change with the language that is chosen. */
import namesEn from "./names_en.js";
import namesZh from "./names_zh.js";
import en from "./words_en.js";
import zh from "./words_zh.js";

const TABLES = { en, zh };
const NAMES = { en: namesEn, zh: namesZh };
const ATTRIBUTES = { label: "aria-label", title: "title", placeholder: "placeholder" };

let language = "en";

/** The text of a key, with {name} replaced by values.name. */
export function text(key, values = {}) {
  const found = TABLES[language][key] ?? en[key];
  if (found === undefined) throw new Error(`no text for '${key}'`);
  return found.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** A name that a plugin brings, such as a setting's: in the table where we know it, else as it is. */
export function known(group, name, otherwise = name) {
  return NAMES[language][`${group}.${name}`] ?? otherwise;
}

/** Give an element a text (or a label, title, placeholder) that follows the language; key: "name" or [name, values]. */
export function say(element, key, what = "t") {
  const [name, values] = Array.isArray(key) ? key : [key, {}];
  const attribute = what === "t" ? "data-t" : `data-t-${what}`;
  element.setAttribute(attribute, Object.keys(values).length ? JSON.stringify([name, values]) : name);
  put(element, what, name, values);
}

function put(element, what, name, values) {
  if (what === "t") element.textContent = text(name, values);
  else element.setAttribute(ATTRIBUTES[what], text(name, values));
}

/** What the browser asks for, or what was chosen last time. */
export function preferred() {
  const chosen = localStorage.getItem("figment.language");
  return chosen in TABLES ? chosen : navigator.language?.startsWith("zh") ? "zh" : "en";
}

/** The language that the page speaks now. */
export const spoken = () => language;

/** Speak another language, everywhere; `document` hears "language" for texts that are put together by hand. */
export function speak(chosen) {
  language = chosen;
  localStorage.setItem("figment.language", chosen);
  document.documentElement.lang = chosen === "zh" ? "zh-CN" : "en";
  for (const what of ["t", "label", "title", "placeholder"]) {
    const attribute = what === "t" ? "data-t" : `data-t-${what}`;
    for (const element of document.querySelectorAll(`[${attribute}]`)) {
      const key = element.getAttribute(attribute);
      put(element, what, ...(key.startsWith("[") ? JSON.parse(key) : [key, {}]));
    }
  }
  document.dispatchEvent(new Event("language"));
}
