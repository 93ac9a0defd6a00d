"""Decode picture files to pixels, upright and in sRGB; refuse what is damaged, not a picture, or more than one.

Part of the data room. The header is judged first (`figment.data.headers`); then the whole file is decoded strictly
(`figment.data.decoding`), so that a file which is cut off or damaged in the middle is refused and not trained on. EXIF
orientation is applied, colour profiles are converted to sRGB, 16 bits become 8, palettes and CMYK become RGB. Sequences
come as pixels from their sources and pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from figment.core.errors import ConfigError, did_you_mean
from figment.core.types import Record, Rejected
from figment.data.decoding import decode
from figment.data.figures import measure
from figment.data.headers import Unreadable
from figment.data.pixels import fewest_channels, to_channels

ORDER = 10

_CHANNELS = {"grey": 1, "rgb": 3, "rgba": 4}


@dataclass(frozen=True)
class Config:
    """What pixels are wanted."""

    mode: Literal["auto", "grey", "rgb", "rgba"] = "auto"
    """Channels: auto keeps the fewest that lose nothing; grey and rgb lay what is transparent on white."""
    moving: Literal["refuse", "first"] = "refuse"
    """Animations and files of several pages: refuse them, or take the first picture; frames: makes sequences."""

    def __post_init__(self):
        for name, options in (("mode", ("auto", *_CHANNELS)), ("moving", ("refuse", "first"))):
            value = getattr(self, name)
            if value not in options:
                raise ConfigError(f"--decode.{name} {value}: not one of its values{did_you_mean(value, options)}")


def mend(record: Record, config: Config) -> Record | Rejected:
    """The record with its image as uint8 (H, W, C) or (T, H, W, C), C = 1, 3 or 4.

    Its origin gains "format" and "size" as HxW, and what later steps judge it by is measured.
    """
    try:
        if isinstance(record.image, bytes):
            pixels, kind = decode(record.image, config.moving)
        else:
            pixels, kind = _checked(record.image), "pixels"
    except Unreadable as reason:
        return Rejected(record.key, "decode", str(reason))
    height, width = pixels.shape[-3:-1]
    pixels = fewest_channels(pixels) if config.mode == "auto" else to_channels(pixels, _CHANNELS[config.mode])
    origin = {**record.origin, "format": kind, "size": f"{height}x{width}"}
    pixels = np.ascontiguousarray(pixels)
    return replace(record, image=pixels, origin=origin, measured=measure(pixels))


def _checked(pixels: np.ndarray) -> np.ndarray:
    """A sequence of one frame is a picture."""
    is_picture = pixels.ndim in (3, 4) and pixels.shape[-1] in (1, 3, 4) and pixels.size > 0
    if pixels.dtype != np.uint8 or not is_picture:
        raise Unreadable(f"pixels are {pixels.dtype} {pixels.shape}; expected uint8 (H, W, 1, 3 or 4)")
    return pixels[0] if pixels.ndim == 4 and len(pixels) == 1 else pixels
