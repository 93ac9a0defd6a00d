"""The data room: colours of pictures that carry a profile (Display P3, Adobe RGB, a press's CMYK) become sRGB."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image


def to_srgb(picture: Image, profile: bytes) -> Image:
    """An RGB, RGBA or CMYK picture in the colours that its profile means, as RGB or RGBA.

    A profile that is damaged, or meant for another kind of picture, says nothing: the pixels are then taken as sRGB.
    """
    from PIL import Image

    if picture.mode == "RGBA":
        alpha = picture.getchannel("A")
        picture = to_srgb(picture.convert("RGB"), profile)
        picture.putalpha(alpha)
        return picture
    transform = _transform(profile, picture.mode)
    if transform is None:
        return picture.convert("RGB")
    result = Image.new("RGB", picture.size)
    transform.apply(picture, result)
    return result


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> Any:
    """How to convert a mode in a profile to sRGB; None where nothing is to be done."""
    from PIL import ImageCms

    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
