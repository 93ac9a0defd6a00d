"""Captions on their way to a model: as bytes, chosen anew in every epoch."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from figment.core.config import Augment
from figment.data.batches import Batches
from figment.data.build import build
from figment.data.captions import CaptionTable, decode_captions, encode_captions
from figment.data.index import Index
from figment.data.store import Store
from tests.pictures import png, write_folder

CAPTIONS = {"0.png": ("a red cat", "一只红猫"), "1.png": ("a dog",), "2.png": ()}


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))), st.integers(1, 40))
def test_a_caption_that_fits_comes_back_and_a_longer_one_is_cut_at_a_character(texts, length):
    rows = encode_captions(texts, length)
    assert rows.shape == (len(texts), length) and rows.dtype == np.uint8
    for text, back in zip(texts, decode_captions(rows), strict=True):
        assert text.startswith(back) and "\ufffd" not in back.removeprefix(text[: len(back)])
        left_out = text[len(back) :]
        assert not left_out or len((back + left_out[0]).encode()) > length


def test_bytes_behind_a_caption_are_zero_and_zeros_within_are_dropped():
    assert encode_captions(["é", "a\0b"], 4).tolist() == [[0xC3, 0xA9, 0, 0], [97, 98, 0, 0]]


def test_a_table_picks_by_the_draw():
    table = CaptionTable.of([("a", "b", "c"), (), ("d",)], 2)
    picked = decode_captions(table.pick(np.array([0, 0, 0, 1, 2]), np.array([0.0, 0.5, 0.999, 0.5, 0.999])))
    assert picked == ["a", "b", "c", "", "d"]


@pytest.fixture
def store(tmp_path) -> Store:
    files = {f"train/{place}.png": png(place) for place in range(3)}
    store = build([str(write_folder(tmp_path / "in", files))], tmp_path / "out")
    with store._edit() as index:
        for name, captions in CAPTIONS.items():
            values = json.dumps(captions), f"train/{name}"
            index.connection.execute("update images set captions = ?, split = 'train' where key = ?", values)
    return store


def test_batches_carry_captions_that_follow_from_seed_epoch_and_picture(store):
    assert store.spec.caption_bytes == 16
    batches = Batches(store, "train", 3, augment=Augment(flip=True))
    seen: set[str] = set()
    keys = [key.removeprefix("train/") for key in store.keys("train")]
    for step in range(12):
        batch = batches.batch_at(step)
        captions = batch.condition.captions
        assert captions is not None and captions.shape == (3, 16)
        order = batches._permutation(step)
        for key, text in zip([keys[row] for row in order], decode_captions(captions.numpy()), strict=True):
            assert text in (CAPTIONS[key] or ("",))
            seen.add(text)
        again = Batches(store, "train", 3).batch_at(step).condition.captions
        assert again is not None and np.array_equal(again, captions)
    assert seen == {"a red cat", "一只红猫", "a dog", ""}


def test_unchanged_pictures_come_with_their_first_caption(store):
    captions = Batches(store, "train", 1).take(np.arange(3)).condition.captions
    assert captions is not None
    expected = [(CAPTIONS[key.removeprefix("train/")] or ("",))[0] for key in store.keys("train")]
    assert decode_captions(captions.numpy()) == expected


def test_what_is_longer_than_a_model_sees_is_cut(store):
    with store._edit() as index:
        index.connection.execute("update images set captions = ?", (json.dumps(["猫" * 200]),))
    assert store.spec.caption_bytes == 256
    captions = Batches(store, "train", 1).take(np.array([0])).condition.captions
    assert captions is not None and decode_captions(captions.numpy()) == ["猫" * 85]


def test_captions_stand_beside_the_picture_in_its_shard(tmp_path):
    store = build(["shapes:8"], tmp_path / "out")
    with Index(tmp_path / "out/index.sqlite") as index:
        (row,) = index.rows("id = 0")
    shard = (tmp_path / "out" / str(row.shard)).read_bytes()
    assert json.dumps(list(row.captions), ensure_ascii=False).encode() in shard
    assert store.captions(str(row.split))[0] == row.captions
