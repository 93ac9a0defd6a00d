"""Datasets on disk: what they hold, and how labels, splits and refusals are changed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from figment.core.errors import ConfigError, DataError
from figment.core.types import Rejected
from figment.data.build import BuildConfig, build
from figment.data.index import Index
from figment.data.steps.split import Config as Split
from figment.data.store import Store
from tests.commands import flip_bit
from tests.pictures import classes, pixels, png, write_folder, write_zip

FILES = classes(20) | {"cat/copy.png": png(0), "dog/cut.png": png(5000)[:-40], "dog/tiny.png": png(5001, 4, 5)}


@pytest.fixture
def store(tmp_path) -> Store:
    return build([str(write_folder(tmp_path / "photos", FILES))], tmp_path / "out")


def split_of(store: Store) -> dict[str, str]:
    return {key: split for split in store.counts for key in store.keys(split)}


# Reading.


def test_a_dataset_opens_as_it_was_built(store):
    again = Store(store.path)
    assert (again.spec, again.counts, again.card) == (store.spec, store.counts, store.card)
    assert repr(again) == f"Store('{store.path}': 40 pictures, 12x12x3, 2 classes)"
    assert len(again.pixel_digest) == len(again.label_digest) == 64


def test_the_parts_of_a_split_agree(store):
    for split, number in store.counts.items():
        assert store.images(split).shape == (number, 12, 12, 3) and store.images(split).dtype == np.uint8
        assert store.labels(split).shape == (number,) and store.labels(split).dtype == np.int64
        assert store.attributes(split).shape == (number, 0)
        assert store.captions(split) == [()] * number
        for key, image in zip(store.keys(split), store.images(split), strict=True):
            seed = 1000 * ("dog" in key) + int(key.split("/")[1].split(".")[0])
            assert np.array_equal(image, pixels(seed))


def test_a_split_that_is_empty_has_nothing_in_it(store):
    assert store.images("test").shape == (0, 12, 12, 3)
    assert store.labels("test").shape == (0,) and store.keys("test") == []


def test_a_split_that_there_is_not_is_named(store):
    for ask in (store.images, store.labels, store.keys):
        with pytest.raises(DataError, match=r"no split 'tset'; did you mean 'test'\?"):
            ask("tset")


def test_pixels_are_decoded_once_and_cannot_be_changed(store):
    images = store.images("train")
    (path,) = (store.path / "cache").iterdir()
    assert path.name == f"{store.pixel_digest}.uint8" and path.stat().st_size == 40 * 12 * 12 * 3 + 32
    written = path.stat().st_mtime_ns
    assert np.array_equal(Store(store.path).images("train"), images)
    assert path.stat().st_mtime_ns == written
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_half_a_memory_map_is_made_again(store):
    expected = np.array(store.images("train"))
    (path,) = (store.path / "cache").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    assert np.array_equal(Store(store.path).images("train"), expected)


@pytest.mark.parametrize("position", [0, 0.5, 0.9999])
def test_a_memory_map_with_a_flipped_bit_is_made_again(store, position):
    expected = np.array(store.images("train"))
    (path,) = (store.path / "cache").iterdir()
    flip_bit(path, position)
    assert np.array_equal(Store(store.path).images("train"), expected)


@pytest.mark.parametrize(
    "change",
    [
        "update images set label = 'cow' where key = 'cat/3.png'",
        "update images set split = 'test' where key = 'cat/3.png'",
        "delete from images where key = 'cat/3.png'",
        "update state set value = replace(value, '12', '21') where name = 'card'",
        "update state set value = '{' where name = 'card'",
    ],
)
def test_an_index_that_is_not_what_figment_wrote_is_refused(store, change):
    with Index(store.path / "index.sqlite") as index:
        assert index.connection.execute(change).rowcount == 1
    for read in (lambda: Store(store.path).labels("train"), lambda: Store(store.path).images("train")):
        with pytest.raises(DataError, match=r"index\.sqlite is damaged"):
            read()


def test_damaged_bytes_are_not_given_away(store):
    with Index(store.path / "index.sqlite") as index:
        shard, offset = next(index.query("select shard, offset from images where key = 'cat/3.png'"))
    content = bytearray((store.path / shard).read_bytes())
    content[offset + 60] ^= 1
    (store.path / shard).write_bytes(content)
    with pytest.raises(DataError, match=r"damaged at 'cat/3\.png'"):
        store.encoded("cat/3.png")
    assert store.encoded("cat/4.png")


def test_a_damaged_shard_is_noticed(store):
    (shard,) = (store.path / "shards").iterdir()
    content = bytearray(shard.read_bytes())
    with Index(store.path / "index.sqlite") as index:
        offset, length = next(index.query("select offset, length from images where key = 'cat/3.png'"))
    for damaged in (
        content[: offset + length - 20],
        content[:offset] + png(99)[:length].ljust(length) + content[offset + length :],
    ):
        shard.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"{shard}: damaged at '.*png'; build the dataset again with --fresh"):
            store.images("train")
    shard.unlink()
    with pytest.raises(DataError, match="damaged at"):
        store.images("train")
    assert list((store.path / "cache").iterdir()) == []


def test_where_no_memory_map_can_be_written_pixels_are_in_memory(store, monkeypatch):
    def refuse(self: Path, *args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        images = store.images("train")
    assert not isinstance(images, np.memmap)
    assert np.array_equal(images, Store(store.path).images("train"))


def test_encoded_pictures_are_there_by_key(store):
    assert store.encoded("cat/copy.png") == store.encoded("cat/0.png")
    assert store.encoded("dog/cut.png") == FILES["dog/cut.png"]
    with pytest.raises(DataError, match=r"out: there is no picture 'cow\.png'"):
        store.encoded("cow.png")


def test_attributes_and_captions_come_from_the_index(store):
    with Index(store.path / "index.sqlite") as index:
        edit = "update images set attributes = ?, captions = ? where key = ?"
        index.connection.execute(
            edit, (json.dumps({"age10": 2, "age9": 0.5}), json.dumps(["a cat", "猫" * 6]), "cat/1.png")
        )
        index.connection.execute(edit, (json.dumps({"age9": 1}), "[]", "dog/1.png"))
    store.relabel({})
    assert store.spec.attributes == ("age9", "age10")
    assert store.spec.caption_bytes == 32  # 18 bytes, rounded up
    split, other = split_of(store)["cat/1.png"], split_of(store)["dog/1.png"]
    attributes = store.attributes(split)
    assert attributes.dtype == np.float32 and attributes[store.keys(split).index("cat/1.png")].tolist() == [0.5, 2]
    assert np.isnan(attributes[store.keys(split).index("cat/2.png")]).all()
    assert np.array_equal(store.attributes(other)[store.keys(other).index("dog/1.png")], [1, np.nan], equal_nan=True)
    assert store.captions(split)[store.keys(split).index("cat/1.png")] == ("a cat", "猫猫猫猫猫猫")


# Opening what is no dataset.


def test_what_is_no_dataset_is_answered_with_what_to_type(tmp_path, store):
    write_folder(
        tmp_path, {"run/config.json": b"{}", "pictures/a.png": png(1), "file.zip": b"", "half/index.sqlite": b""}
    )
    make_one = "make one of it with: figment data build"
    expected = {
        "nowhere": f"no such dataset; make one with: figment data build SOURCE --out {tmp_path}/nowhere",
        "run": "is a run, not a dataset; give the dataset that it was trained on",
        "pictures": f"is a plain folder, not a dataset; {make_one} {tmp_path}/pictures --out DATASET",
        "file.zip": f"is a file, not a dataset; {make_one} {tmp_path}/file.zip --out DATASET",
        "half": "its build has not ended; give the same 'figment data build' command again to go on",
    }
    for name, message in expected.items():
        with pytest.raises(DataError) as caught:
            Store(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {message}"


def test_a_dataset_without_its_index_or_with_a_damaged_one_is_named(store):
    (store.path / "index.sqlite").write_bytes(b"nonsense" * 1000)
    with pytest.raises(DataError, match=r"its index.sqlite is damaged .*; build it again with --fresh"):
        Store(store.path)
    (store.path / "index.sqlite").unlink()
    with pytest.raises(DataError, match=r"its index\.sqlite is missing; build it again with --fresh"):
        Store(store.path)


def test_a_damaged_index_is_built_again(tmp_path, store):
    digest = store.pixel_digest
    (store.path / "index.sqlite").write_bytes(b"nonsense" * 1000)
    assert build([str(tmp_path / "photos")], store.path, fresh=True).pixel_digest == digest


def test_a_dataset_of_a_later_figment_is_named(store):
    with Index(store.path / "index.sqlite") as index:
        index.set_state("card", store.card | {"format": 99, "figment": "9.0"})
    with pytest.raises(DataError, match=r"out: was made by figment 9\.0, later than this one; update figment"):
        Store(store.path)


def test_any_sql_tool_reads_the_index_and_leaves_nothing_behind(store):
    connection = sqlite3.connect(store.path / "index.sqlite")
    counts = dict(connection.execute("select label, count(*) from images where status = 'accepted' group by label"))
    connection.close()
    assert counts == {"cat": 20, "dog": 20}
    store.keys("train")
    assert {path.name for path in store.path.iterdir()} == {"card.json", "index.sqlite", "shards", "rejected"}


# Labels.


def test_labels_change_in_one_go_and_pixels_stay(store):
    before = store.pixel_digest, store.label_digest
    store.relabel({"cat/1.png": "lion", "cat/2.png": None})
    assert store.spec.classes == ("cat", "dog", "lion")
    assert store.pixel_digest == before[0] and store.label_digest != before[1]
    split = split_of(store)["cat/1.png"]
    assert store.labels(split)[store.keys(split).index("cat/1.png")] == 2
    split = split_of(store)["cat/2.png"]
    assert store.labels(split)[store.keys(split).index("cat/2.png")] == -1
    again = Store(store.path)
    assert again.card == store.card == json.loads((store.path / "card.json").read_text())
    store.relabel({"cat/1.png": "cat", "cat/2.png": "cat"})
    assert store.label_digest == before[1]


def test_a_wrong_key_changes_no_label(store):
    before = store.label_digest
    with pytest.raises(DataError, match=r"there is no picture 'cat/99\.png'"):
        store.relabel({"cat/1.png": "lion", "cat/99.png": "lion"})
    assert store.label_digest == before == Store(store.path).label_digest
    assert Store(store.path).spec.classes == ("cat", "dog")


# Splits.


def test_splits_are_drawn_anew(store):
    images = {
        key: image
        for split in store.counts
        for key, image in zip(store.keys(split), np.array(store.images(split)), strict=True)
    }
    before = store.pixel_digest
    store.resplit(Split(test=0.5))
    assert store.held_out == "test" and set(store.counts) == {"train", "test"}
    assert store.pixel_digest != before
    for split in store.counts:
        for key, image in zip(store.keys(split), store.images(split), strict=True):
            assert np.array_equal(image, images[key])
    assert [path.stem for path in (store.path / "cache").iterdir()] == [store.pixel_digest]
    store.resplit(Split())
    assert store.pixel_digest == before


def test_a_split_that_cannot_be_drawn_changes_nothing(tmp_path):
    files = {
        f"{split}/a/{place}.png": png(seed)
        for seed, (split, place) in enumerate((s, p) for s in ("train", "test") for p in "123")
    }
    store = build([str(write_folder(tmp_path / "in", files))], tmp_path / "out")
    with pytest.raises(ConfigError, match=r"--split\.test 0\.5: the source brings its own test pictures; leave it out"):
        store.resplit(Split(test=0.5))
    assert Store(store.path).card == store.card


def test_the_build_still_knows_a_dataset_that_was_edited(tmp_path, store):
    store.resplit(Split(test=0.5))
    store.relabel({"cat/1.png": "lion"})
    store.restore(["cat/copy.png"])
    assert build([str(tmp_path / "photos")], store.path).card == store.card


# Refused pictures.


def test_a_duplicate_is_restored(store):
    store.restore(["cat/copy.png"])
    splits = split_of(store)
    assert splits["cat/copy.png"] == splits["cat/0.png"]  # equal pictures are on one side
    assert sum(store.counts.values()) == 41
    assert [one.key for one in store.rejected()] == ["dog/cut.png", "dog/tiny.png"]
    images = store.images(splits["cat/0.png"])
    keys = store.keys(splits["cat/0.png"])
    assert np.array_equal(images[keys.index("cat/copy.png")], images[keys.index("cat/0.png")])


def test_a_small_picture_is_restored_by_the_other_steps(store):
    store.restore(["dog/tiny.png"])
    split = split_of(store)["dog/tiny.png"]
    image = store.images(split)[store.keys(split).index("dog/tiny.png")]
    assert image.shape == (12, 12, 3) and abs(image.mean() - pixels(5001, 4, 5).mean()) < 12
    assert store.card["enlarged"] == 1 and store.card["rejected"] == {"decode": 1, "exact_duplicates": 1}
    with Index(store.path / "index.sqlite") as index:
        (row,) = index.rows("key = 'dog/tiny.png'")
    assert row.label == "dog" and row.shard.startswith("shards/restored-")
    assert row.origin["restored"] == "min_size: 4x5 is smaller than 8 pixels"


def test_a_restored_picture_may_widen_the_dataset(tmp_path):
    files = {f"{place}.png": png(place, channels=1) for place in range(6)} | {"tiny.png": png(9, 4, 4)}
    store = build([str(write_folder(tmp_path / "in", files))], tmp_path / "out", BuildConfig(size="12"))
    assert store.spec.channels == 1
    store.restore(["tiny.png"])
    assert store.spec.channels == 3 and store.images("train").shape[-1] == 3


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "dog/cut.png",
            "'dog/cut.png' cannot be restored, because it cannot be read (decode: damaged: image file is truncated)",
        ),
        ("cat/1.png", "'cat/1.png' was not refused: there is nothing to restore"),
        ("cow.png", "there is no picture 'cow.png'; index.sqlite lists the keys"),
    ],
)
def test_what_cannot_be_restored_says_why_and_changes_nothing(store, key, message):
    with pytest.raises(DataError) as caught:
        store.restore(["cat/copy.png", key])
    assert str(caught.value) == message
    assert Store(store.path).card == store.card
    assert Rejected("cat/copy.png", "exact_duplicates", "same pixels as cat/0.png") in store.rejected()


def test_a_member_of_an_archive_that_was_refused_unread_cannot_be_restored(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"../1.png": png(1), "2.png": png(2)})
    store = build([str(path)], tmp_path / "out")
    with pytest.raises(DataError, match=r"it cannot be read \(archive: its path leads out of the archive"):
        store.restore(["../1.png"])
    with pytest.raises(DataError, match=r"out: no bytes were kept of '\.\./1\.png'"):
        store.encoded("../1.png")
