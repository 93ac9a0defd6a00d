/**
 * An animation without loss: PNG files of one size and kind, joined into one APNG, which browsers and viewers play.
 * After the specification of PNG, third edition, sections 5 and 11.3.6: https://www.w3.org/TR/png-3/
 */

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const HEAD = ["IHDR", "PLTE", "tRNS"]; // chunks that must be the same in every frame, and stand before the first

/** A Blob of type image/apng that shows `pngs` (Blobs) in turn, for ever, `rate` of them a second. */
export async function animation(pngs, rate) {
  const frames = await Promise.all(pngs.map(async (png) => chunks(new Uint8Array(await png.arrayBuffer()))));
  const head = frames[0].filter(({ type }) => HEAD.includes(type));
  const size = head[0].data.slice(0, 8); // width and height, as IHDR has them
  const parts = [
    new Uint8Array(SIGNATURE),
    ...head.slice(0, 1).map(chunk),
    chunk({ type: "acTL", data: words(frames.length, 0) }),
    ...head.slice(1).map(chunk),
  ];
  let sequence = 0;
  frames.forEach((frame, at) => {
    const delay = new Uint8Array([0, 1, Math.round(rate) >> 8, Math.round(rate) & 255, 0, 0]);
    parts.push(chunk({ type: "fcTL", data: joined([words(sequence++), size, words(0, 0), delay]) }));
    for (const { data } of frame.filter(({ type }) => type === "IDAT")) {
      parts.push(chunk(at ? { type: "fdAT", data: joined([words(sequence++), data]) } : { type: "IDAT", data }));
    }
  });
  return new Blob([...parts, chunk({ type: "IEND", data: new Uint8Array() })], { type: "image/apng" });
}

/** The chunks of a PNG file: [{type, data}]. */
function chunks(bytes) {
  const found = [];
  const view = new DataView(bytes.buffer);
  for (let at = SIGNATURE.length; at < bytes.length;) {
    const length = view.getUint32(at);
    found.push({
      type: String.fromCharCode(...bytes.slice(at + 4, at + 8)),
      data: bytes.slice(at + 8, at + 8 + length),
    });
    at += 12 + length;
  }
  return found;
}

/** A chunk's bytes: length, type, data, and the check sum of the last two. */
function chunk({ type, data }) {
  const body = joined([Uint8Array.from(type, (sign) => sign.charCodeAt(0)), data]);
  return joined([words(data.length), body, words(checksum(body))]);
}

function words(...numbers) {
  const view = new DataView(new ArrayBuffer(4 * numbers.length));
  numbers.forEach((number, at) => view.setUint32(4 * at, number));
  return new Uint8Array(view.buffer);
}

function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}

const REMAINDERS = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
  return byte;
});

/** CRC-32 of bytes. */
function checksum(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = REMAINDERS[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}
