"""Pictures give way to the size of the page."""

from __future__ import annotations

import io
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from figment.pages.pictures import Shown, fit, size_of


def png(width, height, mode="RGB", seed=0) -> bytes:
    bands = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, *bands), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def opened(picture: Shown) -> Image.Image:
    return Image.open(io.BytesIO(b64decode(picture.uri.split(",")[1])))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_the_size_is_read_from_the_header(mode):
    assert size_of(png(31, 17, mode)) == (31, 17)


def test_pictures_that_fit_are_the_very_bytes():
    pngs = [png(16, 16, seed=1), png(16, 16, seed=2)]
    shown = fit(pngs, 100_000)
    assert [b64decode(shown[each].uri.split(",")[1]) for each in pngs] == pngs
    assert all(picture.exact for picture in shown.values())


@pytest.mark.parametrize("room", [150_000, 60_000, 6_000])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_only_what_takes_more_than_its_share_is_reduced(mode, room):
    small, large = png(8, 8, mode), png(400, 300, mode)
    shown = fit([small, large], room)
    assert len(shown[small].uri) + len(shown[large].uri) <= room
    assert shown[small].exact and not shown[large].exact
    assert (shown[large].width, shown[large].height) == (400, 300)
    assert opened(shown[large]).mode == ("RGBA" if mode == "RGBA" else "RGB")


def test_a_picture_shown_twice_counts_twice():
    large = png(100, 100)
    once = len(fit([large], 10**6)[large].uri)
    assert fit([large], once)[large].exact
    assert not fit([large, large], once)[large].exact


def test_what_cannot_fit_is_left_out():
    small, large = png(2, 2), png(400, 300)
    assert fit([large], 0)[large].uri == fit([large], -5)[large].uri == ""
    shown = fit([small, large], 300)
    assert shown[small].exact and shown[large].uri == ""


def test_a_picture_too_long_for_webp_is_divided():
    long = png(2, 20_000)
    assert opened(fit([long], 40_000)[long]).height == 10_000


def test_without_pictures_there_is_nothing_to_do():
    assert fit([], 0) == {}


@pytest.mark.parametrize(
    "size, room, on_page, is_enlarged",
    [
        ((8, 8), 96, (96, 96), True),
        ((30, 20), 100, (90, 60), True),
        ((60, 40), 100, (60, 40), False),
        ((200, 50), 100, (100, 25), False),
        ((5000, 1), 100, (100, 1), False),
    ],
)
def test_enlarging_is_by_whole_factors(size, room, on_page, is_enlarged):
    picture = Shown("data:", *size)
    assert picture.size(room) == on_page
    assert picture.is_enlarged(room) is is_enlarged
