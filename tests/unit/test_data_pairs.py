"""Pairs from two folders."""

from __future__ import annotations

import numpy as np
import pytest

from figment.core.errors import ConfigError, DataError
from figment.core.types import Rejected
from figment.data.build import BuildConfig, build
from figment.data.sources.pairs import Config, records
from tests.pictures import encode, pixels, png, write_folder

FILES = {f"photo/train/cat/{place}.png": png(place, 16, 24) for place in (2, 10)} | {
    "drawing/train/cat/2.bmp": encode(pixels(102, 16, 24), "BMP"),
    "drawing/train/cat/10.png": png(110, 16, 24),
    "drawing/alone.png": png(5),
    "photo/notes.txt": b"",
}


def test_files_of_one_name_are_a_pair(tmp_path):
    alone, first, second = records(Config(str(write_folder(tmp_path, FILES))))
    assert (first.key, first.split, first.label) == ("photo/train/cat/2.png", "train", "cat")
    assert (first.image, first.pair) == (FILES["photo/train/cat/2.png"], FILES["drawing/train/cat/2.bmp"])
    assert second.key == "photo/train/cat/10.png" and second.origin["pair"] == "drawing/train/cat/10.png"
    assert alone == Rejected("drawing/alone.png", "pairs", "has no other half of the same name")


def test_either_half_may_be_given(tmp_path):
    *_, first, _ = records(Config(str(write_folder(tmp_path, FILES)), given="photo"))
    assert (first.key, first.pair) == ("drawing/train/cat/2.bmp", FILES["photo/train/cat/2.png"])


def test_pairs_become_a_dataset_whose_halves_are_scaled_alike(tmp_path):
    from figment.data.steps.resize_crop import resize_crop

    store = build([f"pairs:{write_folder(tmp_path / 'in', FILES)}"], tmp_path / "out", BuildConfig(size="8"))
    assert store.spec.paired and str(store.spec) == "pairs of 8x8x3, no labels"
    expected = [resize_crop(pixels(seed, 16, 24), 8, 8) for seed in (2, 10)]
    found = {
        key: rows
        for split in store.counts
        for key, *rows in zip(store.keys(split), store.images(split), store.pairs(split), strict=True)
    }
    assert np.array_equal(found["photo/train/cat/2.png"][0], expected[0])
    assert np.array_equal(found["photo/train/cat/10.png"][1], resize_crop(pixels(110, 16, 24), 8, 8))


def test_what_is_no_folder_of_pairs_is_said(tmp_path):
    with pytest.raises(DataError, match="holds 0 folders, not two; give a folder with one of each half"):
        list(records(Config(str(tmp_path))))
    write_folder(tmp_path, {"a/1.png": png(1), "b/2.png": png(2)})
    with pytest.raises(DataError, match="no file is named alike in a and b; name the halves of a pair alike"):
        list(records(Config(str(tmp_path))))
    with pytest.raises(ConfigError, match=r"--pairs\.given c: no such folder; there are: a, b"):
        list(records(Config(str(tmp_path), given="c")))


def test_a_pair_of_which_half_is_refused_cannot_be_restored(tmp_path):
    files = {f"{half}/{place}.png": png(place + 10 * (half == "b")) for half in "ab" for place in range(4)}
    root = write_folder(tmp_path / "in", files | {"a/3.png": png(3, 4, 4)})
    store = build([f"pairs:{root}"], tmp_path / "out", BuildConfig(size="12"))
    assert store.rejected() == [Rejected("b/3.png", "min_size", "its other half: 4x4 is smaller than 8 pixels")]
    with pytest.raises(DataError, match="of a refused pair only one half was kept; build again"):
        store.restore(["b/3.png"])
