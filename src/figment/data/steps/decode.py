"""Decode picture files to pixels, upright and in sRGB; refuse what is damaged, not a picture, or more than one.

Part of the data room. The header is judged first (`figment.data.headers`); then the whole file is decoded strictly, so
that a file which is cut off or damaged in the middle is refused and not trained on. EXIF orientation is applied, colour
profiles are converted to sRGB, 16 bits become 8, palettes and CMYK become RGB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from figment.core.errors import ConfigError, did_you_mean
from figment.core.types import Record, Rejected
from figment.data.colour import to_srgb
from figment.data.headers import ORIENTATION_TAG, Unreadable, one_line, open_picture, warnings_as_errors
from figment.data.pixels import fewest_channels, to_channels

if TYPE_CHECKING:
    from PIL.Image import Image

ORDER = 10

_CHANNELS = {"grey": 1, "rgb": 3, "rgba": 4}

_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


@dataclass(frozen=True)
class Config:
    """What pixels are wanted."""

    mode: Literal["auto", "grey", "rgb", "rgba"] = "auto"
    """Channels: auto keeps the fewest that lose nothing; grey and rgb lay what is transparent on white."""
    moving: Literal["refuse", "first"] = "refuse"
    """Animations and files of several pages: refuse them, or take the first picture."""

    def __post_init__(self):
        for name, options in (("mode", ("auto", *_CHANNELS)), ("moving", ("refuse", "first"))):
            value = getattr(self, name)
            if value not in options:
                raise ConfigError(f"--decode.{name} {value}: not one of its values{did_you_mean(value, options)}")


def mend(record: Record, config: Config) -> Record | Rejected:
    """The record with its image as uint8 (H, W, C), C = 1, 3 or 4; origin gains "format" and "size" as HxW."""
    try:
        if isinstance(record.image, bytes):
            pixels, kind = _decode(record.image, config.moving)
        else:
            pixels, kind = _checked(record.image), "pixels"
    except Unreadable as reason:
        return Rejected(record.key, "decode", str(reason))
    height, width = pixels.shape[:2]
    pixels = fewest_channels(pixels) if config.mode == "auto" else to_channels(pixels, _CHANNELS[config.mode])
    origin = {**record.origin, "format": kind, "size": f"{height}x{width}"}
    return replace(record, image=np.ascontiguousarray(pixels), origin=origin)


def _checked(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or pixels.size == 0:
        raise Unreadable(f"pixels are {pixels.dtype} {pixels.shape}; expected uint8 (H, W, 1, 3 or 4)")
    return pixels


def _decode(content: bytes, moving: str) -> tuple[np.ndarray, str]:
    """(upright pixels, name of the format) of a picture file.

    Raises Unreadable.
    """
    picture = open_picture(content)
    try:
        with warnings_as_errors():
            is_moving = getattr(picture, "is_animated", False)
            # A JPEG with previews behind it, as many telephones write, is one picture.
            kind = "JPEG" if picture.format == "MPO" else str(picture.format)
            if is_moving and kind != "JPEG" and moving == "refuse":
                raise Unreadable("has several frames or pages; --decode.moving first takes the first of them")
            pixels = _decode_jpeg(content, picture) if kind == "JPEG" else _decode_other(picture)
            orientation = picture.getexif().get(ORIENTATION_TAG, 1)
    except Unreadable:
        raise
    except Exception as error:  # decoders raise anything on damaged bytes
        raise Unreadable(f"damaged: {one_line(error)}") from None
    return _UPRIGHT.get(orientation, lambda same: same)(pixels), kind


def _decode_jpeg(content: bytes, picture: Image) -> np.ndarray:
    """uint8 (H, W, C); simplejpeg alone notices damage in the middle of a JPEG."""
    import simplejpeg
    from PIL import Image

    colours = {"L": "GRAY", "RGB": "RGB"}.get(picture.mode)
    if colours is None:
        simplejpeg.decode_jpeg(content, "CMYK", strict=True)
        return _decode_other(picture)
    pixels = simplejpeg.decode_jpeg(content, colours, strict=True)
    profile = picture.info.get("icc_profile")
    if profile and colours == "RGB":
        pixels = np.asarray(to_srgb(Image.fromarray(pixels), profile))
    return pixels


def _decode_other(picture: Image) -> np.ndarray:
    """uint8 (H, W, C) by Pillow, from any mode that has a range of values of its own."""
    picture.load()
    if picture.mode.startswith("I;16"):
        # Rounded, and by 257 because that takes 65,535 to 255.
        return ((np.asarray(picture).astype(np.uint32) + 128) // 257).astype(np.uint8)[..., None]
    if picture.mode in ("I", "F"):
        raise Unreadable(f"pixels of 32 bits (mode {picture.mode}) have no agreed range; save it with 8 or 16")
    profile = picture.info.get("icc_profile")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    elif picture.mode in ("1", "L"):
        picture = picture.convert("L")
    elif picture.mode != "CMYK" or not profile:
        picture = picture.convert("RGB")
    if profile and picture.mode != "L":
        picture = to_srgb(picture, profile)
    pixels = np.asarray(picture)
    return pixels if pixels.ndim == 3 else pixels[..., None]
