/** One line at the foot of the page that tells what happened; a screen reader hears it. */
import { text } from "./i18n.js";

let timer = 0;

/** Show a text of the language tables for some seconds; kind: "" or "bad". */
export function notice(key, values = {}, kind = "") {
  const line = document.getElementById("notice");
  line.textContent = text(key, values);
  line.className = `shown ${kind}`;
  clearTimeout(timer);
  timer = setTimeout(() => (line.className = ""), 4000 + 60 * line.textContent.length);
}

/** Show why something failed: the server's own line, which says what to do next. */
export function failed(error) {
  if (error.name === "AbortError") return;
  notice(error.code === "unreachable" ? "app.unreachable" : "app.failed", { why: error.message }, "bad");
}
