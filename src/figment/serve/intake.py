"""Pictures that come from outside: bytes only, looked at before they are decoded, decoded under caps."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from figment.core.images import RECIPE_KEY, encode_png
from figment.data.decoding import decode
from figment.data.headers import Unreadable, open_picture
from figment.serve.refusal import Refusal, invalid

MOST_PIXELS = 16_777_216  # of one picture
MOST_FILES, MOST_FIELDS = 10, 20
MOST_FIELD_BYTES = 64 * 1024

_at_once = threading.Semaphore(2)  # pictures that are being decoded


@dataclass(frozen=True)
class Picture:
    """A picture file, and its pixels upright and in sRGB: uint8 (H, W, C), C = 1, 3 or 4."""

    content: bytes
    pixels: np.ndarray

    @property
    def is_transparent(self) -> bool:
        """Whether some place of it is not opaque."""
        return self.pixels.shape[2] == 4 and bool(self.pixels[..., 3].min() < 255)


@asynccontextmanager
async def form_of(request: Request) -> AsyncIterator[FormData]:
    """The fields and files of a form, closed in the end.

    Raises a Refusal where the body is none, or one of too many parts.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refusal(415, "unsupported_type", "send a form (multipart/form-data) here")
    async with request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=MOST_FIELD_BYTES) as form:
        yield form


def text_of(form: FormData, name: str, default: str | None = None) -> str:
    """A field of a form that is a text.

    Raises a Refusal where it is missing, a file, or given more than once.
    """
    values = form.getlist(name)
    if not values and default is not None:
        return default
    if len(values) != 1 or not isinstance(values[0], str):
        raise invalid(f"{name}: give it once, as a text", name)
    return values[0]


def object_of(form: FormData, name: str) -> dict[str, Any]:
    """A field of a form that is a JSON object."""
    try:
        value = json.loads(text_of(form, name))
    except (ValueError, RecursionError):
        raise invalid(f"{name}: is no JSON", name) from None
    if not isinstance(value, dict):
        raise invalid(f"{name}: give a JSON object", name)
    return value


async def pictures_of(form: FormData, *names: str) -> list[Picture]:
    """The pictures under these names, in order.

    Raises a Refusal where one is none.
    """
    files = [value for name in names for value in form.getlist(name)]
    if not all(isinstance(file, UploadFile) for file in files):
        raise invalid(f"{names[0]}: give a file, not a text", names[0])
    return [await picture_of(await file.read(), names[0]) for file in files]  # type: ignore[union-attr]


async def picture_of(content: bytes, param: str | None = None) -> Picture:
    """A picture file, found to be whole.

    Raises a Refusal for bytes that are no picture, damaged, or too large a one.
    """
    try:
        return Picture(content, await asyncio.to_thread(_decoded, content))
    except Unreadable as error:
        raise Refusal(400, "invalid_image", str(error), param) from None


def _decoded(content: bytes) -> np.ndarray:
    picture = open_picture(content)
    if picture.width * picture.height > MOST_PIXELS:
        raise Unreadable(f"more than {MOST_PIXELS / 1e6:.0f} million pixels; scale it down first")
    with _at_once:
        return decode(content)[0]


def mask_of(picture: Picture) -> Picture:
    """A mask of OpenAI's shape, or a picture with holes, as figment's own: white where it is transparent.

    Raises a Refusal where nothing is.
    """
    if not picture.is_transparent:
        told = "the mask has no transparent place, where the picture is to be made new"
        raise Refusal(400, "invalid_image", told, "mask")
    holes = np.where(picture.pixels[..., 3:] < 128, np.uint8(255), np.uint8(0))
    return Picture(encode_png(holes), holes)


def recipe_in(content: bytes) -> Mapping[str, Any]:
    """The recipe that a PNG of figment's carries.

    Raises a Refusal where there is none.
    """
    try:
        picture = open_picture(content)
        recipe = json.loads(picture.info[RECIPE_KEY]) if picture.format == "PNG" else None
    except (Unreadable, KeyError, ValueError, TypeError, RecursionError):
        recipe = None
    if not isinstance(recipe, dict):
        raise Refusal(400, "invalid_image", "this is no PNG with a recipe of figment's inside", "image")
    return recipe
