"""The border between pixels on disk (uint8) and in models (float32 in [-1, 1]): conversion, PNG, grids, recipes."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, PngImagePlugin

from figment.core.errors import DataError

if TYPE_CHECKING:  # a page of pictures needs no torch, which takes seconds to import
    from torch import Tensor

RECIPE_KEY = "figment"
FRAME_MS = 100  # how long a sequence shows each frame


def to_float(pixels: np.ndarray | Tensor) -> Tensor:
    """uint8 (B, H, W, C) -> float32 (B, C, H, W) in [-1, 1]; a time axis after B is kept in place."""
    import torch

    pixels = torch.as_tensor(pixels)
    return pixels.movedim(-1, -3).contiguous().to(torch.float32).div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> np.ndarray:
    """float (B, C, H, W) in [-1, 1] -> uint8 (B, H, W, C), rounded to the nearest value and clamped."""
    import torch

    scaled = images.detach().float() * 127.5 + 128.0  # + 127.5 and + 0.5, so that truncation rounds
    return scaled.clamp_(0, 255).to(torch.uint8).movedim(-3, -1).cpu().contiguous().numpy()


def _pil(pixels: np.ndarray) -> Image.Image:
    """uint8 (H, W, C), C = 1, 3 or 4"""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def encode_png(pixels: np.ndarray, recipe: Mapping[str, Any] | None = None) -> bytes:
    """uint8 (H, W, C) -> PNG bytes, with the recipe that made the picture in its text.

    A sequence, (T, H, W, C), becomes an animated PNG, which browsers play; other viewers show its first frame.
    """
    info = PngImagePlugin.PngInfo()
    if recipe is not None:
        info.add_itxt(RECIPE_KEY, json.dumps(recipe, ensure_ascii=False, sort_keys=True))
    buffer = io.BytesIO()
    first, *rest = (_pil(frame) for frame in (pixels if pixels.ndim == 4 else pixels[None]))
    moving: dict[str, Any] = {"save_all": True, "append_images": rest, "duration": FRAME_MS, "loop": 0} if rest else {}
    first.save(buffer, "PNG", pnginfo=info, **moving)
    return buffer.getvalue()


def write_png(path: Path, pixels: np.ndarray, recipe: Mapping[str, Any] | None = None) -> None:
    """Write a picture so that a reader finds the old file or the new one, never half of it; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".tmp")
    try:
        fresh.write_bytes(encode_png(pixels, recipe))
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def read_recipe(path: Path) -> dict[str, Any]:
    """The recipe that a generated picture carries.

    Raises DataError where the file is no PNG of figment's.
    """
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            return json.loads(picture.info[RECIPE_KEY])
    except (OSError, KeyError, ValueError):
        raise DataError(f"{path}: carries no figment recipe; give a PNG that 'figment sample' wrote") from None


def grid(pixels: np.ndarray, columns: int | None = None, gap: int = 1, zoom: int | None = None) -> np.ndarray:
    """Pictures side by side on grey: uint8 (N, H, W, C) -> uint8 (H', W', C).

    Sequences, (N, T, H, W, C), give one that moves, (T, H', W', C): each frame shows the same frame of all of them.

    zoom: each pixel becomes a square of this many; by default tiny pictures are enlarged until they can be seen.
    """
    if pixels.ndim == 5:
        return np.stack([grid(frame, columns, gap, zoom) for frame in pixels.swapaxes(0, 1)])
    count, height, width, channels = pixels.shape
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    zoom = zoom or max(1, 48 // max(height, width))
    gap *= zoom
    pixels = pixels.repeat(zoom, axis=1).repeat(zoom, axis=2)
    height, width, rows = height * zoom, width * zoom, math.ceil(count / columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 128, np.uint8)
    if channels == 4:
        sheet[..., 3] = 255
    for index, picture in enumerate(pixels):
        top, left = gap + index // columns * (height + gap), gap + index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def interleave(labels: Sequence[int], num: int) -> list[int]:
    """`num` labels, the given ones taking turns: [0, 1], 5 -> [0, 1, 0, 1, 0]."""
    return [labels[index % len(labels)] for index in range(num)]
