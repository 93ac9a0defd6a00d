"""Sequences: how they are read, cut into clips, stored, and given to training."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from figment.core.config import Augment
from figment.core.errors import ConfigError, DataError
from figment.core.images import encode_png, grid
from figment.core.types import Record, Rejected
from figment.data.batches import Batches
from figment.data.build import BuildConfig, build
from figment.data.index import Index
from figment.data.sources.frames import Config, records
from figment.data.steps.resize_crop import resize_crop
from figment.data.store import Store
from tests.pictures import encode, pixels, write_folder


def clip(seed: int, frames: int = 6, height: int = 12, width: int = 16) -> np.ndarray:
    """uint8 (frames, height, width, 3)"""
    return np.stack([pixels(100 * seed + place, height, width) for place in range(frames)])


def moving(frames: np.ndarray, kind: str, **options: object) -> bytes:
    first, *rest = (Image.fromarray(frame) for frame in frames)
    return encode(first, kind, save_all=True, append_images=rest, **options)


def read(path: Path, **settings: int) -> list[Record | Rejected]:
    return list(records(Config(str(path), **settings)))


# Reading.


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_files_that_move_are_read_frame_by_frame(tmp_path, kind, options):
    path = tmp_path / f"walk.{kind.lower()}"
    path.write_bytes(moving(clip(1), kind, **options))
    first, second = read(path, length=3)
    assert (first.key, second.key) == (f"{path.name}@0", f"{path.name}@3")
    assert np.array_equal(np.concatenate([first.image, second.image])[..., :3], clip(1))


def test_a_gif_is_read_as_it_looks(tmp_path):
    frames = np.zeros((4, 10, 10, 3), np.uint8)
    for place in range(4):
        frames[place, 2:5, 2 * place : 2 * place + 3] = (250, 30, 60)  # what stays black is not stored again
    (tmp_path / "a.gif").write_bytes(moving(frames, "GIF"))
    (only,) = read(tmp_path / "a.gif", length=4)
    assert np.abs(only.image[..., :3].astype(int) - frames).max() <= 4


def test_numbered_pictures_in_a_folder_are_one_sequence(tmp_path):
    files = {f"train/b/walk/f{place}.png": encode(frame) for place, frame in enumerate(clip(1, 11))}
    first, second = read(write_folder(tmp_path, files), length=5)
    assert (first.key, first.label, first.split) == ("train/b/walk@0", "b", "train")
    assert np.array_equal(np.concatenate([first.image, second.image]), clip(1, 11)[:10])  # f2 comes before f10


def test_several_sequences_in_one_folder_are_told_apart(tmp_path):
    files = {f"{name}_{place}.png": encode(clip(seed)[place]) for seed, name in enumerate("ab") for place in range(4)}
    assert [one.key for one in read(write_folder(tmp_path, files), length=4)] == ["a_#.png@0", "b_#.png@0"]


def test_a_stride_leaves_frames_out(tmp_path):
    (tmp_path / "a.png").write_bytes(moving(clip(1, 9), "PNG"))
    first, second = read(tmp_path / "a.png", length=2, stride=2)
    assert np.array_equal(first.image, clip(1, 9)[[0, 2]]) and np.array_equal(second.image, clip(1, 9)[[4, 6]])
    assert second.key == "a.png@4"


def test_what_is_too_short_damaged_or_of_several_sizes_is_refused(tmp_path):
    whole = moving(clip(1), "PNG")
    pages = moving(clip(1, 2), "TIFF")
    big, small = Image.fromarray(pixels(1, 12, 12)), Image.fromarray(pixels(2, 8, 8))
    files = {"cut.png": whole[: len(whole) // 2], "short.tif": pages, "still.png": encode(pixels(1))}
    files["sizes.tif"] = encode(big, "TIFF", save_all=True, append_images=[small])
    reasons = {one.key: one.reason for one in read(write_folder(tmp_path, files), length=4)}
    assert reasons["short.tif"] == "too few frames: 2, and a clip takes 4; --frames.length makes it shorter"
    assert reasons["still.png"].startswith("too few frames: 1,")
    assert reasons["sizes.tif"] == "has frames of several sizes, 12x12 and 8x8; scale them first"
    assert reasons["cut.png"].startswith("damaged in frame ")


def test_where_there_is_no_sequence_that_is_said(tmp_path):
    for path in (tmp_path, tmp_path / "gone.gif"):
        with pytest.raises(DataError, match="no sequence in it; give a GIF, or a folder of numbered pictures"):
            read(path)
    with pytest.raises(ConfigError, match=r"frames: give a file or folder, as in frames:walk\.gif"):
        Config()


# Storing.


@pytest.fixture
def store(tmp_path) -> Store:
    files = {f"{name}/{seed}.png": moving(clip(seed), "PNG") for seed, name in enumerate("aabbaabb")}
    files["a/copy.png"] = files["a/0.png"]
    root = write_folder(tmp_path / "in", files)
    return build([f"frames:{root}"], tmp_path / "out", BuildConfig(sources={"frames": {"length": 6}}))


def stored(store: Store) -> dict[str, np.ndarray]:
    return {
        key: np.array(one)
        for split in store.counts
        for key, one in zip(store.keys(split), store.images(split), strict=True)
    }


def test_sequences_are_stored_and_come_back(store):
    assert (store.spec.frames, store.spec.shape, store.spec.classes) == (6, (3, 12, 16), ("a", "b"))
    assert str(store.spec) == "6 frames of 12x16x3, 2 classes"
    assert all(np.array_equal(found, clip(int(key[2]))) for key, found in stored(store).items())
    assert [(one.key, one.step) for one in store.rejected()] == [("a/copy.png@0", "exact_duplicates")]
    everything = np.concatenate(list(stored(store).values())).reshape(-1, 3).astype(float)
    assert np.allclose(store.card["mean"], everything.mean(0), atol=0.01)
    assert np.allclose(store.card["deviation"], everything.std(0), atol=0.01)


def test_a_sequence_is_a_strip_that_any_viewer_shows(store):
    with tarfile.open(store.path / "shards/000000000.tar") as shard:
        picture = Image.open(io.BytesIO(shard.extractfile("000000000.png").read()))
        about = json.loads(shard.extractfile("000000000.json").read())
    assert np.array_equal(np.asarray(picture), clip(0).reshape(72, 16, 3)) and about["frames"] == 6


def test_all_frames_are_scaled_and_cut_alike(tmp_path):
    root = write_folder(tmp_path / "in", {"a.png": moving(clip(1), "PNG")})
    settings = BuildConfig(size="8", sources={"frames": {"length": 6}})
    store = build([f"frames:{root}"], tmp_path / "out", settings)
    expected = np.stack([resize_crop(frame, 8, 8) for frame in clip(1)])
    assert np.array_equal(store.images("train")[0], expected)
    with Index(store.path / "index.sqlite") as index:
        (row,) = index.rows()
    assert (row.frames, row.height, row.width) == (6, 8, 8) and row.quality["scale"] == pytest.approx(8 / 12, abs=1e-3)


def test_a_refused_sequence_is_restored(tmp_path):
    root = write_folder(tmp_path / "in", {"a.png": moving(clip(1), "PNG"), "b.png": moving(clip(2, 6, 6, 6), "PNG")})
    settings = BuildConfig(size="12x16", sources={"frames": {"length": 6}})
    store = build([f"frames:{root}"], tmp_path / "out", settings)
    assert [(one.key, one.step) for one in store.rejected()] == [("b.png@0", "min_size")]
    store.restore(["b.png@0"])
    expected = np.stack([resize_crop(frame, 12, 16) for frame in clip(2, 6, 6, 6)])
    assert np.array_equal(stored(store)["b.png@0"], expected)


def test_stills_and_sequences_are_not_mixed(tmp_path):
    sources = ["shapes:4", f"frames:{write_folder(tmp_path / 'in', {'a.png': moving(clip(1), 'PNG')})}"]
    with pytest.raises(DataError, match="stills, pairs or sequences of 2 lengths: build a dataset of each"):
        build(sources, tmp_path / "out", BuildConfig(size="16", sources={"frames": {"length": 6}}))


def test_an_index_of_an_earlier_figment_opens(tmp_path):
    store = build(["shapes:4"], tmp_path / "out")
    before = store.card["spec"], stored(store)
    with Index(store.path / "index.sqlite") as index:
        for name in ("frames", "paired"):
            index.connection.execute(f"alter table images drop column {name}")
    store = Store(store.path)
    store.relabel(dict.fromkeys(store.keys("train"), "thing"))
    again = stored(store)
    assert all(np.array_equal(again[key], image) for key, image in before[1].items())
    assert {**store.card["spec"], "classes": []} == {**before[0], "classes": []}


# Training and showing.


def test_batches_keep_frames_in_order(store):
    batch = Batches(store, "train", 2).take(np.array([0, 1]))
    assert batch.images.shape == (2, 6, 3, 12, 16) and batch.images.abs().max() <= 1
    back = ((batch.images + 1) * 127.5).round().movedim(2, -1).numpy()
    assert np.array_equal(back, store.images("train")[:2])


def test_all_frames_are_changed_alike(store, monkeypatch):
    batches = Batches(store, "train", 4, augment=Augment(flip=True, crop=3, noise=0.1, salt_pepper=0.1))
    frozen = np.repeat(np.array(store.images("train"))[:, :1], 6, axis=1)  # every frame is the first
    monkeypatch.setattr(batches, "images", frozen)
    plain, changed = Batches(store, "train", 4), [batches.batch_at(step).images for step in range(3)]
    for images in changed:
        assert images.shape == (4, 6, 3, 12, 16) and torch.equal(images, images[:, :1].expand_as(images))
    monkeypatch.setattr(plain, "images", frozen)
    assert not torch.equal(changed[0], plain.batch_at(0).images)


def test_a_grid_of_sequences_moves():
    clips = np.stack([clip(seed) for seed in range(5)])
    sheet = grid(clips, 3, gap=1, zoom=1)
    assert sheet.shape[0] == 6 and all(np.array_equal(sheet[t], grid(clips[:, t], 3, gap=1, zoom=1)) for t in range(6))
    animation = Image.open(io.BytesIO(encode_png(sheet, {"seed": 1})))
    assert animation.n_frames == 6 and json.loads(animation.info["figment"]) == {"seed": 1}
    animation.seek(4)
    assert np.array_equal(np.asarray(animation.convert("RGB")), sheet[4])
