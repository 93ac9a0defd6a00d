"""The data room: picture files to pixels, strictly, so that what is cut off or damaged is noticed and not trained on.

EXIF orientation is applied, colour profiles are converted to sRGB, 16 bits become 8, palettes and CMYK become RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from figment.data.colour import to_srgb
from figment.data.headers import (
    ORIENTATION_TAG,
    Unreadable,
    one_line,
    open_picture,
    refuse_short_memory,
    warnings_as_errors,
)

if TYPE_CHECKING:
    from PIL.Image import Image

_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


def decode(content: bytes, moving: str = "refuse") -> tuple[np.ndarray, str]:
    """(upright pixels, uint8 (H, W, C), name of the format) of a picture file.

    moving: of an animation, "refuse" it or take the "first" frame. Raises Unreadable with a reason.
    """
    picture = open_picture(content)
    try:
        with warnings_as_errors(), refuse_short_memory():
            # A JPEG with previews behind it, as many telephones write, is one picture.
            kind = "JPEG" if picture.format == "MPO" else str(picture.format)
            if num_frames(picture) > 1 and moving == "refuse":
                raise Unreadable("has several frames or pages; --decode.moving first takes the first of them")
            pixels = _decode_jpeg(content, picture) if kind == "JPEG" else _decode_other(picture)
            orientation = picture.getexif().get(ORIENTATION_TAG, 1)
    except Unreadable:
        raise
    except Exception as error:  # decoders raise anything on damaged bytes
        raise Unreadable(f"damaged: {one_line(error)}") from None
    return _UPRIGHT.get(orientation, lambda same: same)(pixels), kind


def decode_frames(content: bytes) -> Iterator[np.ndarray]:
    """Every frame of an animation, or page of a TIFF, in order: uint8 (H, W, C), each with its own C.

    Raises Unreadable with a reason, at the frame that is damaged.
    """
    picture = open_picture(content)
    number = 0
    try:
        while number < num_frames(picture):
            with warnings_as_errors(), refuse_short_memory():
                picture.seek(number)
                pixels = _decode_other(picture)
            number += 1
            yield pixels
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(f"damaged in frame {number}: {one_line(error)}") from None


def num_frames(picture: Image) -> int:
    """Frames or pages of an opened picture; previews behind a JPEG do not count."""
    is_moving = getattr(picture, "is_animated", False) and picture.format not in ("JPEG", "MPO")
    return getattr(picture, "n_frames", 1) if is_moving else 1


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
