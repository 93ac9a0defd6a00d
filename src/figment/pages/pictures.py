"""Pictures inside a page: as they are while the page has room, else smaller, and never silently."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

# What is tried in turn on the pictures that take more than their share: (divisor of the sides, WebP quality).
_SMALLER = ((1, 90), (1, 75), (2, 75), (4, 75), (8, 60))
_WEBP_SIDE = 16_383


@dataclass(frozen=True)
class Shown:
    """A picture in its page. uri: data URI, "" when left out. width, height: the original's. exact: its very pixels."""

    uri: str
    width: int
    height: int
    exact: bool = True

    def size(self, room: int) -> tuple[int, int]:
        """Width and height on the page, in CSS pixels: the largest whole multiple within `room`, or cut down to it."""
        width = self.width * max(1, room // self.width) if self.width <= room else room
        return width, max(1, round(self.height * width / self.width))

    def is_enlarged(self, room: int) -> bool:
        return 2 * self.width <= room


def size_of(png: bytes) -> tuple[int, int]:
    """(width, height) from the header of a PNG file."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n" and len(png) >= 24, "a picture in a report is given as the bytes of a PNG"
    return struct.unpack(">II", png[16:24])


def fit(pngs: Sequence[bytes], room: int) -> dict[bytes, Shown]:
    """Every picture, by its PNG bytes, so that all data URIs together are at most `room` characters.

    Pictures that take no more than an equal share stay exact. The others become WebP, then smaller, and are left out
    when nothing else helps.
    """
    shown = {png: Shown(_uri(png, "png"), *size_of(png)) for png in pngs}
    share = max(room, 0) // max(len(pngs), 1)
    for divisor, quality in _SMALLER:
        if _taken(pngs, shown) <= room:
            return shown
        for png, picture in shown.items():
            if len(picture.uri) > share:
                uri = _uri(_webp(png, divisor, quality), "webp")
                shown[png] = Shown(min(uri, picture.uri, key=len), picture.width, picture.height, exact=False)
    if _taken(pngs, shown) <= room:
        return shown
    return {
        png: picture if len(picture.uri) <= share else Shown("", picture.width, picture.height, exact=False)
        for png, picture in shown.items()
    }


def _taken(pngs: Sequence[bytes], shown: dict[bytes, Shown]) -> int:
    return sum(len(shown[png].uri) for png in pngs)


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(data).decode('ascii')}"


def _webp(png: bytes, divisor: int, quality: int) -> bytes:
    with Image.open(BytesIO(png)) as image:
        divisor = max(divisor, -(-max(image.size) // _WEBP_SIDE))
        has_alpha = "A" in image.getbands() or "transparency" in image.info
        smaller = image.convert("RGBA" if has_alpha else "RGB").reduce(divisor)
    buffer = BytesIO()
    smaller.save(buffer, "WEBP", quality=quality)
    return buffer.getvalue()
