/** The server: questions and answers in JSON, jobs that are followed while they run, refusals with their reason. */

/** A refusal, with the server's fixed `code` and its one line for people. */
export class Refused extends Error {
  constructor({ code = "unreachable", message = "", param = null } = {}, status = 0) {
    super(message);
    Object.assign(this, { code, param, status });
  }
}

const PATIENCE = 4; // how often a busy server is asked again, after as long as it says

async function ask(path, options = {}, tries = PATIENCE) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused({ message: String(error.message) });
  }
  if (answer.ok) return answer;
  const wait = Number(answer.headers.get("Retry-After"));
  if ((answer.status === 429 || answer.status === 503) && wait > 0 && tries > 0) {
    await new Promise((resolve) => setTimeout(resolve, 1000 * wait));
    return ask(path, options, tries - 1);
  }
  const body = await answer.json().catch(() => ({}));
  throw new Refused(body.error ?? { code: String(answer.status), message: answer.statusText }, answer.status);
}

const json = (body) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});

/** GET: the JSON at a path; `query` may hold null for what is not asked. */
export async function get(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  const asked = new URLSearchParams(given).toString();
  return (await ask(asked ? `${path}?${asked}` : path)).json();
}

/** POST JSON, get JSON. */
export const post = async (path, body, options = {}) => (await ask(path, { ...json(body), ...options })).json();

/** POST JSON, get the bytes of a picture. */
export const draw = async (path, body, options = {}) => (await ask(path, { ...json(body), ...options }, 0)).blob();

/** POST bytes or a form, get JSON; or the bytes of a picture, where the answer is one. */
export async function send(path, body, { type = null, signal = undefined } = {}) {
  const answer = await ask(path, { method: "POST", body, headers: type ? { "Content-Type": type } : {}, signal });
  return answer.headers.get("Content-Type")?.startsWith("image/") ? answer.blob() : answer.json();
}

/** DELETE; whether it was there to be deleted makes no difference. */
export const forget = (path) => ask(path, { method: "DELETE" }).catch(() => {});

/**
 * Follow a job. heard: functions by the name of an event (queued, progress, preview, image, done, error), given its
 * data; error is given a Refused. Returns a function that calls the job off.
 */
export function follow(job, heard) {
  const source = new EventSource(`/api/jobs/${job}/events`);
  const last = new Set(["done", "error"]);
  for (const [name, hear] of Object.entries(heard)) {
    source.addEventListener(name, (event) => {
      if (event.data === undefined) {
        // The connection's own trouble, not the job's; the browser comes back by itself unless it is closed.
        if (source.readyState === EventSource.CLOSED) hear(new Refused());
        return;
      }
      if (last.has(name)) source.close();
      const data = JSON.parse(event.data);
      hear(name === "error" ? new Refused(data.error ?? data) : data);
    });
  }
  return () => {
    source.close();
    return forget(`/api/jobs/${job}`);
  };
}

/** How much of a job is done, 0 to 1, of what its "progress" tells. */
export function shareDone({ done, total, steps_done: step = 0, steps_total: steps = 0 }) {
  return total ? Math.min(1, (done + (steps ? step / steps : 0)) / total) : 0;
}
