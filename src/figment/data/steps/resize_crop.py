"""Bring every picture to one size: scale its shorter side to fit, and cut what is left over from the longer, centred.

Part of the data room. Lanczos with a filter as wide as the reduction, because the resizer shows in every score.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from figment.core.errors import ConfigError
from figment.core.types import Record

ORDER = 30

MAX_SIDE = 4096
_KEPT_SIDE = 128  # the largest size that is kept without being asked for: photographs of one camera are not
_USUAL_SIDES = (64, 32, 16, 8)
_MOST = 0.9


@dataclass(frozen=True)
class Config:
    """Which size."""

    size: str = ""
    """Side of a square ("32") or height x width ("48x64"); empty keeps pictures of one size, else makes them square."""

    def __post_init__(self):
        parse(self.size)


def parse(size: str) -> tuple[int, int] | None:
    """(height, width) of "32" or "48x64"; None of "".

    Raises ConfigError for anything else.
    """
    if not size:
        return None
    found = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", size, re.ASCII)
    sides = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= min(sides) <= max(sides) <= MAX_SIDE:
        raise ConfigError(f"--size {size}: give a side (32) or height x width (48x64), each from 1 to {MAX_SIDE}")
    return sides


def choose(sizes: Sequence[tuple[int, int]]) -> str:
    """The size that suits pictures of these (height, width), for who did not ask for one.

    The size that nine of ten have, unless it is large; else a square of 64, or less where the pictures are smaller.

    >>> choose([(28, 28)] * 10)
    '28x28'
    >>> choose([(768, 1024), (600, 800)])
    '64x64'
    """
    if not sizes:
        return f"{_USUAL_SIDES[0]}x{_USUAL_SIDES[0]}"
    (height, width), number = Counter(sizes).most_common(1)[0]
    if number >= _MOST * len(sizes) and max(height, width) <= _KEPT_SIDE:
        return f"{height}x{width}"
    typical = median(min(size) for size in sizes)
    side = next((side for side in _USUAL_SIDES if side <= typical), _USUAL_SIDES[-1])
    return f"{side}x{side}"


def mend(record: Record, config: Config) -> Record:
    """The record with its image, uint8 (H, W, C) or (T, H, W, C), at the size of the settings; all frames alike."""
    size, pixels = parse(config.size), record.image
    assert isinstance(pixels, np.ndarray)  # decode cannot be skipped
    if size is None or pixels.shape[-3:-1] == size:
        return record
    if pixels.ndim == 4:
        return replace(record, image=np.stack([resize_crop(frame, *size) for frame in pixels]))
    return replace(record, image=resize_crop(pixels, *size))


def resize_crop(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 (H, W, C) -> (height, width, C): the largest centred part of that shape, scaled up or down."""
    from PIL import Image

    old_height, old_width, channels = pixels.shape
    scale = max(height / old_height, width / old_width)
    part_height, part_width = min(old_height, height / scale), min(old_width, width / scale)
    top, left = (old_height - part_height) / 2, (old_width - part_width) / 2
    box = (left, top, left + part_width, top + part_height)
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    scaled = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS, box=box))
    return scaled if channels > 1 else scaled[..., None]
