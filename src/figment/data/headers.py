"""The data room: what a picture file says of itself, read and judged before any of its pixels is decoded."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

# Content decides, not the suffix. Each further format would be a further decoder to trust with strangers' bytes.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

MAX_PIXELS = 89_478_485  # where Pillow begins to warn of a bomb: a quarter of a gigabyte as RGB

ORIENTATION_TAG = 0x0112
_QUARTER_TURNED = (5, 6, 7, 8)


class Unreadable(Exception):
    """A picture file that must not or cannot be decoded; the message is a reason that a person can act on."""


def open_picture(content: bytes) -> Image:
    """A picture file, opened but not decoded: its format, size and mode are known and allowed.

    Raises Unreadable for other formats, damaged headers and pictures of more than MAX_PIXELS. Warnings of the
    decoder count as errors, here and in all that follows, where the caller keeps to `warnings_as_errors`.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings_as_errors(), refuse_short_memory():
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except Unreadable:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Unreadable(_too_large()) from None
    except UnidentifiedImageError:
        what = "empty file" if not content else "not a picture in a known format"
        raise Unreadable(f"{what}; known are {', '.join(FORMATS)}") from None
    except Exception as error:  # decoders raise anything on damaged bytes
        raise Unreadable(f"damaged header: {one_line(error)}") from None
    if picture.width * picture.height > MAX_PIXELS:
        raise Unreadable(_too_large())
    return picture


def warnings_as_errors() -> warnings.catch_warnings:
    """A context in which a decoder's doubt about a file is an error."""
    return warnings.catch_warnings(action="error")


@contextmanager
def refuse_short_memory() -> Iterator[None]:
    """A picture that memory is too short for is not a damaged one, and the reason must not say so."""
    try:
        yield
    except MemoryError:
        raise Unreadable("takes more memory than there is; scale it down, or restore it where there is more") from None


def upright_size(picture: Image) -> tuple[int, int]:
    """(height, width) of an opened picture after its EXIF orientation is applied."""
    # The size that Pillow gives for a TIFF is upright already.
    is_turned = picture.format != "TIFF" and picture.getexif().get(ORIENTATION_TAG) in _QUARTER_TURNED
    return (picture.width, picture.height) if is_turned else (picture.height, picture.width)


def one_line(error: Exception) -> str:
    """An error's text without line breaks, or its kind where it has no text."""
    return " ".join(str(error).split()) or type(error).__name__


def _too_large() -> str:
    return f"more than {MAX_PIXELS / 1e6:.0f} million pixels; scale it down first"
