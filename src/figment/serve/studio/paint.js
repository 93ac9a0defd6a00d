/**
 * Painting over a picture: a mask, or a drawing. Strokes are kept as strokes, so undo takes one back and redo brings it
 * again. It works with a mouse, a finger, a pen, and with keys: arrows move a cross, Space paints, [ and ] change the
 * brush.
 */
import { el } from "./dom.js";

const TOUCHED = 32; // opacity, of 255, from which a pixel is masked: a thin stroke between two pixels takes both
const MOST = 300; // strokes that undo reaches back; older ones become part of the ground

/**
 * A canvas to paint on. colour: of new strokes, any CSS colour, or "erase". changed(): after every stroke, undo and
 * redo; moving(): while a stroke is drawn.
 */
export class Painter {
  constructor({ label, changed = () => {}, moving = () => {} }) {
    this.canvas = el("canvas.paint", { tabindex: 0, role: "img", label });
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
    this.cross = el("span.cross", { "aria-hidden": "true", hidden: true });
    Object.assign(this, { changed, moving, colour: "#fff", width: 8, strokes: [], undone: [], ground: null, at: null });
    this.listen();
  }

  /** Start anew at `width` x `height` pixels, on `ground` (something that can be drawn on a canvas) or on nothing. */
  reset(width, height, ground = null) {
    Object.assign(this.canvas, { width, height });
    Object.assign(this, { strokes: [], undone: [], ground, at: null });
    this.repaint();
  }

  get isEmpty() {
    return !this.strokes.length;
  }

  undo() {
    if (this.strokes.length) this.step(() => this.undone.push(this.strokes.pop()));
  }

  redo() {
    if (this.undone.length) this.step(() => this.strokes.push(this.undone.pop()));
  }

  clear() {
    if (this.strokes.length) this.add({ clear: true });
  }

  /** The whole area, in the colour of now. */
  fillAll() {
    this.add({ all: true, colour: this.colour });
  }

  /** Painted becomes bare and bare painted. */
  invert() {
    this.add({ invert: true, colour: this.colour });
  }

  add(stroke) {
    this.step(() => (this.strokes.push(stroke), (this.undone = [])));
  }

  step(change) {
    change();
    this.repaint();
    this.changed();
  }

  repaint() {
    const { pen } = this;
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (this.ground) pen.drawImage(this.ground, 0, 0, this.canvas.width, this.canvas.height);
    if (this.strokes.length > MOST) this.settle();
    const from = this.strokes.findLastIndex((stroke) => stroke.clear);
    for (const stroke of this.strokes.slice(from + 1)) draw(pen, stroke);
  }

  /** Make the oldest strokes part of the ground, so that a long drawing stays quick. */
  settle() {
    for (const stroke of this.strokes.splice(0, MOST / 3)) {
      if (stroke.clear) this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
      else draw(this.pen, stroke);
    }
    const ground = document.createElement("canvas");
    Object.assign(ground, { width: this.canvas.width, height: this.canvas.height });
    ground.getContext("2d").drawImage(this.canvas, 0, 0);
    this.ground = ground;
  }

  /** What is painted, as white on black: a PNG of the canvas' size. */
  async mask() {
    const { width, height } = this.canvas;
    const sheet = document.createElement("canvas");
    Object.assign(sheet, { width, height });
    const pen = sheet.getContext("2d");
    const pixels = this.pen.getImageData(0, 0, width, height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const value = pixels.data[i + 3] >= TOUCHED ? 255 : 0;
      pixels.data.fill(value, i, i + 3);
      pixels.data[i + 3] = 255;
    }
    pen.putImageData(pixels, 0, 0);
    return new Promise((resolve) => sheet.toBlob(resolve, "image/png"));
  }

  listen() {
    const { canvas } = this;
    let stroke = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      stroke = { points: [this.place(event)], width: this.width, colour: this.colour };
      this.strokes.push(stroke);
      this.undone = [];
      draw(this.pen, stroke);
      event.preventDefault();
      canvas.focus();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!stroke) return;
      for (const one of event.getCoalescedEvents?.() ?? [event]) stroke.points.push(this.place(one));
      draw(this.pen, { ...stroke, points: stroke.points.slice(-4) });
      this.moving();
    });
    const end = () => stroke && ((stroke = null), this.repaint(), this.changed());
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => (this.cross.hidden = true));
  }

  /** Where a pointer is, in pixels of the canvas. */
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * this.canvas.width) / box.width,
      ((event.clientY - box.top) * this.canvas.height) / box.height,
    ];
  }

  key(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const isCommand = event.ctrlKey || event.metaKey;
    if (way) this.move(way, event.shiftKey);
    else if (event.key === " " || event.key === "Enter")
      this.add({ points: [this.at ?? this.middle()], width: this.width, colour: this.colour });
    else if (isCommand && event.key.toLowerCase() === "z") event.shiftKey ? this.redo() : this.undo();
    else if (isCommand && event.key.toLowerCase() === "y") this.redo();
    else if (event.key === "[" || event.key === "]") this.resize(event.key === "]" ? 1.25 : 0.8);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  middle() {
    return [this.canvas.width / 2, this.canvas.height / 2];
  }

  /** Move the cross; with `paints`, it leaves a stroke. */
  move([x, y], paints) {
    const { width, height } = this.canvas;
    const from = this.at ?? this.middle();
    const pace = Math.max(1, this.width / 2);
    this.at = [Math.min(width, Math.max(0, from[0] + x * pace)), Math.min(height, Math.max(0, from[1] + y * pace))];
    this.cross.hidden = false;
    this.cross.style.left = `${(100 * this.at[0]) / width}%`;
    this.cross.style.top = `${(100 * this.at[1]) / height}%`;
    if (paints) this.add({ points: [from, this.at], width: this.width, colour: this.colour });
  }

  resize(factor) {
    this.width = Math.max(1, this.width * factor);
    this.canvas.dispatchEvent(new Event("resize"));
  }
}

function draw(pen, { points, width, colour, all, invert }) {
  const { canvas } = pen;
  pen.save();
  pen.globalCompositeOperation = invert ? "xor" : colour === "erase" ? "destination-out" : "source-over";
  pen.strokeStyle = pen.fillStyle = colour === "erase" ? "#000" : colour;
  Object.assign(pen, { lineCap: "round", lineJoin: "round", lineWidth: width });
  if (all || invert) pen.fillRect(0, 0, canvas.width, canvas.height);
  else if (points.length === 1) (pen.beginPath(), pen.arc(...points[0], width / 2, 0, 7), pen.fill());
  else (pen.beginPath(), points.forEach((point) => pen.lineTo(...point)), pen.stroke());
  pen.restore();
}
