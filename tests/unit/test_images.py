from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from figment.core.errors import DataError
from figment.core.images import encode_png, grid, interleave, read_recipe, to_float, to_uint8


def test_every_grey_level_survives_the_round_trip():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    assert np.array_equal(to_uint8(to_float(levels)), levels)


def test_pixels_are_rounded_and_clamped():
    images = torch.tensor([-2.0, -1.0, 0.0, 0.5 / 127.5, 1.0, 2.0]).view(1, 1, 1, 6)
    assert to_uint8(images).ravel().tolist() == [0, 0, 128, 128, 255, 255]


def test_sequences_keep_their_frames_in_place():
    assert to_float(np.zeros((2, 5, 4, 3, 1), np.uint8)).shape == (2, 5, 1, 4, 3)


@given(st.integers(1, 9), st.integers(1, 7), st.integers(1, 7), st.sampled_from([1, 3, 4]), st.integers(1, 5))
def test_a_grid_holds_every_picture(count, height, width, channels, columns):
    pictures = np.random.default_rng(0).integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    sheet = grid(pictures, columns, gap=1, zoom=1)
    columns = min(columns, count)
    for index, picture in enumerate(pictures):
        top, left = 1 + index // columns * (height + 1), 1 + index % columns * (width + 1)
        assert np.array_equal(sheet[top : top + height, left : left + width], picture)


def test_a_picture_carries_its_recipe(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(np.zeros((3, 4, 3), np.uint8), {"seed": 3, "label": "猫"}))
    assert read_recipe(path) == {"seed": 3, "label": "猫"}
    assert Image.open(io.BytesIO(path.read_bytes())).size == (4, 3)


def test_a_picture_without_recipe_is_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.new("L", (2, 2)).save(path)
    with pytest.raises(DataError, match="carries no figment recipe"):
        read_recipe(path)


def test_interleave_takes_turns():
    assert interleave([0, 1, 2], 5) == [0, 1, 2, 0, 1]
