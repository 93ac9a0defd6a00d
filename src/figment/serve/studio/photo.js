/** A file that somebody gave, as a PNG that is turned upright and no larger than the server needs. */

const LONGEST = 2048; // pixels; a larger photo is made smaller

/** {file, url, width, height, bitmap} of a picture file. Raises where the browser cannot read it. */
export async function photo(file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const png = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return { file: png, url: URL.createObjectURL(png), width: canvas.width, height: canvas.height, bitmap: canvas };
}
