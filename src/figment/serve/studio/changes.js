/**
 * Changes of a dataset: made at once on the page, sent in order, taken back by undo, and never lost.
 *
 * Each change tells what stood there before. The server makes it only where that is still so; else it is a conflict
 * with somebody else's change, which is shown and not overwritten. What could not be sent is kept in the browser's
 * storage and sent again, also by the next visit.
 */
import { post } from "./api.js";

const AT_ONCE = 1000; // changes in one request, at most
const AGAIN = 3000; // milliseconds until a change is tried once more
const PATHS = { label: "labels", captions: "captions", attributes: "attributes", reason: "reasons" };

export class Changes {
  /** data: one of GET /api/data. heard(): something was changed, saved or refused; failed(error): it cannot be. */
  constructor(data, heard, failed) {
    Object.assign(this, { data, heard, failed, waiting: [], past: [], conflicts: [], saved: 0, isSending: false });
    this.prefix = `figment.unsaved.${data.id}.${data.name}.`;
    this.store = this.prefix + Math.random().toString(36).slice(2);
    this.adopt();
  }

  /** Give pictures another value of `kind` (label, captions, attributes, reason), as one step of undo. */
  put(images, kind, value) {
    const made = images
      .filter((image) => !same(image[kind], value))
      .map((image) => ({ image, kind, was: image[kind] ?? null, value }));
    if (!made.length) return;
    this.past.push(made);
    this.make(made);
  }

  /** Take the last step back; returns its pictures. */
  undo() {
    const step = this.past.pop() ?? [];
    this.make(step.map(({ image, kind, was, value }) => ({ image, kind, was: value, value: was })));
    return step.map(({ image }) => image);
  }

  /** Settle a conflict: with what was meant here, or with what stands there. */
  settle(conflict, mine) {
    this.conflicts = this.conflicts.filter((one) => one !== conflict);
    if (mine) this.put([conflict.image], conflict.kind, conflict.mine);
    this.heard();
  }

  make(changes) {
    for (const { image, kind, value } of changes) image[kind] = value;
    this.waiting.push(...changes);
    this.remember();
    this.heard();
    this.flush();
  }

  async flush() {
    if (this.isSending || !this.waiting.length) return;
    this.isSending = true;
    const { kind } = this.waiting[0];
    const end = this.waiting.findIndex((one) => one.kind !== kind);
    const seen = new Set();
    let number = 0; // a picture that changed twice goes into two requests
    const limit = Math.min(AT_ONCE, end < 0 ? this.waiting.length : end);
    while (number < limit && !seen.has(this.waiting[number].image.row)) seen.add(this.waiting[number++].image.row);
    const batch = this.waiting.slice(0, number);
    try {
      const changes = batch.map(({ image, was, value }) => ({ row: image.row, [kind]: value, was }));
      const answer = await post(`/api/data/${this.data.id}/${PATHS[kind]}`, { changes });
      this.waiting.splice(0, number);
      this.saved += answer.changed.length;
      this.meet(batch, kind, answer.conflicts);
    } catch (error) {
      this.isSending = false;
      return this.fail(error, number);
    }
    this.isSending = false;
    this.remember();
    this.heard();
    this.flush();
  }

  /** What somebody else changed first: their value stands, ours waits for a decision, unless both are the same. */
  meet(batch, kind, conflicts) {
    for (const conflict of conflicts) {
      const { image, value } = batch.find((one) => one.image.row === conflict.row);
      this.waiting = this.waiting.filter((one) => one.image.row !== conflict.row || one.kind !== kind);
      image[kind] = conflict[kind];
      if (!same(value, conflict[kind])) this.conflicts.push({ image, kind, mine: value, theirs: conflict[kind] });
    }
  }

  /** Unreachable: again, later. Refused: it will not be taken next time either, so the page shows what was before. */
  fail(error, number) {
    this.failed(error);
    if (error.status >= 400 && error.status < 500 && error.status !== 429) {
      for (const { image, kind, was } of this.waiting.splice(0, number)) image[kind] = was;
      this.remember();
    } else {
      setTimeout(() => this.flush(), AGAIN);
    }
    this.heard();
  }

  remember() {
    const rest = this.waiting.map(({ image, kind, was, value }) => ({
      row: image.row,
      url: image.url,
      kind,
      was,
      value,
    }));
    if (rest.length) localStorage.setItem(this.store, JSON.stringify(rest));
    else localStorage.removeItem(this.store);
  }

  /** Send what an earlier visit could not; where it was sent after all, it is no conflict with itself. */
  adopt() {
    for (const name of Object.keys(localStorage).filter((one) => one.startsWith(this.prefix))) {
      const rest = JSON.parse(localStorage.getItem(name));
      this.waiting.push(
        ...rest.map(({ row, url, kind, was, value }) => ({ image: { row, url, [kind]: value }, kind, was, value })),
      );
      localStorage.removeItem(name);
    }
    this.remember();
    this.flush();
  }
}

const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
