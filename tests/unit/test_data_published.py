"""Datasets as others publish them: MNIST, CIFAR, tables, Parquet, WebDataset."""

from __future__ import annotations

import gzip
import json
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from figment.core import plugins
from figment.core.errors import DataError, MissingExtra
from figment.core.types import Record, Rejected
from figment.data.batches import Batches
from figment.data.build import BuildConfig, build
from figment.data.plain_pickle import load
from figment.data.source import resolve
from figment.data.sources import parquet
from figment.data.store import Store
from tests.pictures import encode, pixels, png, write_folder, write_tar


def read(source: str, argument: Path | str) -> list[Any]:
    module = plugins.load("sources", source)
    found = list(module.records(module.Config(str(argument))))
    if hasattr(module, "count"):
        assert module.count(module.Config(str(argument))) == len(found)
    return found


def complaint(source: str, argument: Path | str) -> str:
    with pytest.raises(DataError) as caught:
        read(source, argument)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# MNIST.


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def mnist(root: Path, num: int = 3) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (2 * num, 28, 28), np.uint8)
    labels = np.arange(2 * num, dtype=np.uint8)
    return write_folder(
        root,
        {
            "train-images-idx3-ubyte.gz": gzip.compress(idx(images[:num])),
            "train-labels-idx1-ubyte.gz": gzip.compress(idx(labels[:num])),
            "t10k-images-idx3-ubyte": idx(images[num:]),
            "t10k-labels-idx1-ubyte": idx(labels[num:]),
        },
    )


def test_mnist_is_read_packed_or_not(tmp_path):
    found = read("mnist", mnist(tmp_path))
    assert [(one.key, one.label, one.split) for one in found] == [
        ("test/00000", "3", "test"),
        ("test/00001", "4", "test"),
        ("test/00002", "5", "test"),
        ("train/00000", "0", "train"),
        ("train/00001", "1", "train"),
        ("train/00002", "2", "train"),
    ]
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
    assert np.array_equal(np.stack([one.image for one in found])[..., 0], np.roll(images, 3, axis=0))


def test_the_sets_of_emnist_keep_apart(tmp_path):
    files = mnist(tmp_path / "a")
    root = write_folder(
        tmp_path / "b",
        {
            f"emnist-{kind}-{file.name.replace('t10k', 'test')}": file.read_bytes()
            for kind in ("letters", "digits")
            for file in files.iterdir()
        },
    )
    keys = [one.key for one in read("mnist", root)]
    assert len(set(keys)) == 12 and {"emnist-letters-test/00000", "emnist-digits-train/00002"} <= set(keys)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (idx(np.zeros((3, 28, 28), np.uint8))[:-5], "ends in the middle; fetch it again"),
        (gzip.compress(idx(np.zeros((3, 28, 28), np.uint8)))[:-30], "fetch it again"),
        (
            struct.pack(">HBB3I", 0, 8, 3, 1, 2**31, 2**31),
            "declares images of 2147483648x2147483648 pixels; it is damaged",
        ),
        (struct.pack(">HBB3I", 0, 13, 3, 1, 2, 2), "is no IDX file of bytes in 3 dimensions; give the files of MNIST"),
        (b"<html>", "ends in the middle; fetch it again"),
        (idx(np.zeros((2, 28, 28), np.uint8)), "has 2 images and 3 labels; fetch both files again"),
    ],
    ids=["short", "short gz", "huge", "floats", "html", "numbers"],
)
def test_damaged_idx_files_are_named(tmp_path, content, reason):
    root = mnist(tmp_path)
    (root / "t10k-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(plugins.load("sources", "mnist").records(plugins.load("sources", "mnist").Config(str(root))))
    assert str(caught.value).endswith(reason) and "t10k-images-idx3-ubyte" in str(caught.value)


def test_a_folder_without_idx_files_is_an_error(tmp_path):
    assert "no IDX files in it; give a folder with train-images-idx3-ubyte.gz" in complaint("mnist", tmp_path)


# CIFAR.

CIFAR = np.random.default_rng(1).integers(0, 256, (6, 3072), np.uint8)
NAMES = ["airplane", "bird", "cat"]


class Py2Array:
    """Pickles as an array of numpy's did when CIFAR was made."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def __reduce__(self):
        return self.array.__reduce__()


def cifar_py(root: Path) -> Path:
    batches = {
        f"data_batch_{part + 1}": {
            b"batch_label": b"training",
            b"labels": [0, 1],
            b"data": CIFAR[2 * part : 2 * part + 2],
        }
        for part in range(2)
    }
    batches["test_batch"] = {b"labels": [2, 0], b"data": CIFAR[4:6], b"filenames": [b"a.png", b"b.png"]}
    batches["batches.meta"] = {b"label_names": [name.encode() for name in NAMES], b"num_vis": 3072}
    return write_folder(root, {name: pickle.dumps(batch, protocol=2) for name, batch in batches.items()})


def cifar_bin(root: Path) -> Path:
    def rows(start: int, labels: list[int]) -> bytes:
        return b"".join(bytes([label]) + CIFAR[start + place].tobytes() for place, label in enumerate(labels))

    files = {
        "data_batch_1.bin": rows(0, [0, 1]),
        "data_batch_2.bin": rows(2, [0, 1]),
        "test_batch.bin": rows(4, [2, 0]),
    }
    return write_folder(root, files | {"batches.meta.txt": "\n".join(NAMES).encode() + b"\n\n"})


@pytest.mark.parametrize("form", ["python", "binary", "tar.gz"])
def test_both_versions_of_cifar_give_the_same(tmp_path, form):
    root = cifar_bin(tmp_path / "cifar") if form == "binary" else cifar_py(tmp_path / "cifar")
    if form == "tar.gz":
        files = {f"cifar-10-batches-py/{file.name}": file.read_bytes() for file in sorted(root.iterdir())}
        root = write_tar(tmp_path / "cifar-10-python.tar.gz", files)
    found = read("cifar10", root)
    assert [(one.key, one.label) for one in found] == [
        ("train/00000", "airplane"),
        ("train/00001", "bird"),
        ("train/00002", "airplane"),
        ("train/00003", "bird"),
        ("test/00000", "cat"),
        ("test/00001", "airplane"),
    ]
    expected = CIFAR.reshape(6, 3, 32, 32).transpose(0, 2, 3, 1)
    assert np.array_equal(np.stack([one.image for one in found]), expected)


class Evil:
    def __init__(self, *call: Any):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


def test_a_pickle_runs_nothing_and_makes_nothing_else(tmp_path):
    import os

    mark = tmp_path / "mark"
    attacks = [
        Evil(os.system, f"touch {mark}"),
        Evil(eval, f"open({str(mark)!r}, 'w')"),
        Evil(getattr, Path, "home"),
        Evil(np.load, str(mark)),
        np.array([Evil(os.system, f"touch {mark}")], dtype=object),
        b"cnumpy\nndarray\n(S'evil'\ntR.",
        pickle.dumps(np.zeros(3, np.float64), 2),
        b"c_codecs\nencode\n(V\xc3\xa9\nI1\ntR.",
        b"\x80\x02]q\x00.",
        b"",
        b"hello",
        pickle.dumps({"a": 1}, 2)[:-2],
    ]
    for attack in attacks:
        content = attack if isinstance(attack, bytes) else pickle.dumps({b"data": attack, b"labels": [0]}, 2)
        (tmp_path / "test_batch").write_bytes(content)
        assert complaint("cifar10", tmp_path)
        assert not mark.exists()


def test_names_of_a_pickle_cannot_be_changed():
    """BUILD sets attributes of whatever is on the stack."""
    changed = b"c_codecs\nencode\n}(S'__defaults__'\nI1\nsb."
    with pytest.raises(ValueError, match="is no plain pickle"):
        load(changed)


def test_arrays_of_a_pickle_are_plain():
    found = load(pickle.dumps({"data": CIFAR, "more": [1, (2.5, "é", b"x")]}, 2))
    assert np.array_equal(found[b"data"], CIFAR) and found[b"data"].dtype == np.uint8
    order = np.asfortranarray(CIFAR[:, :5])
    assert np.array_equal(load(pickle.dumps({"a": order}, 2))[b"a"], order)


def test_a_cifar_that_is_cut_off_is_named(tmp_path):
    root = cifar_bin(tmp_path)
    (root / "test_batch.bin").write_bytes(b"\0" * 3000)
    assert complaint("cifar10", root).endswith("test_batch.bin ends in the middle of a picture; fetch it again")
    assert "no CIFAR batches in it" in complaint("cifar10", write_folder(tmp_path / "empty", {"a.txt": b""}))
    (tmp_path / "x.tar.gz").write_bytes(b"<html>")
    assert "give the folder of the batches or the .tar.gz" in complaint("cifar10", tmp_path / "x.tar.gz")


# Tables.


def test_a_csv_says_what_pictures_show(tmp_path):
    table = b"\xef\xbb\xbfpath,label,split,caption,caption:zh,age,smiles,pair\n"
    table += "a/1.png,cat,train,a cat,一只猫,3,true,b/1.png\n".encode()
    table += b'a/2.png,,Validation,"a dog, asleep",,,,\n'
    files = {"a/1.png": png(1), "a/2.png": png(2), "b/1.png": png(3), "all.csv": table}
    first, second = read("manifest", write_folder(tmp_path, files) / "all.csv")
    assert (first.key, first.label, first.split, first.captions) == ("a/1.png", "cat", "train", ("a cat", "一只猫"))
    assert (first.attributes, first.image, first.pair) == ({"age": 3.0, "smiles": 1.0}, png(1), png(3))
    assert (second.label, second.split, second.captions) == (None, "val", ("a dog, asleep",))
    assert (second.attributes, second.pair) == ({}, None)


def test_a_jsonl_says_what_pictures_show(tmp_path):
    lines = [
        {"file_name": "1.png", "captions": ["a cat", "a pet"], "attributes": {"age": 3}, "license": "CC0-1.0"},
        {"file_name": "2.png", "text": "a dog", "label": 7, "height": 2.5},
    ]
    files = {"1.png": png(1), "2.png": png(2), "metadata.jsonl": "\n\n".join(map(json.dumps, lines)).encode()}
    first, second = read("manifest", write_folder(tmp_path, files) / "metadata.jsonl")
    assert (first.captions, first.attributes) == (("a cat", "a pet"), {"age": 3.0})
    assert first.origin["licence"] == "CC0-1.0"
    assert (second.captions, second.label, second.attributes) == (("a dog",), "7", {"height": 2.5})


def test_lines_that_cannot_be_used_are_refused_with_their_number(tmp_path):
    table = b"path,split,age\ngone.png,,\n1.png,nowhere,\n1.png,,old\nhttp://a/b.png,,\n1.png,,nan\n1.png,,4\n"
    *refused, good = read("manifest", write_folder(tmp_path, {"1.png": png(1), "a.csv": table}) / "a.csv")
    assert isinstance(good, Record) and good.attributes == {"age": 4.0}
    assert [one.reason for one in refused] == [
        "line 2: gone.png cannot be read: No such file or directory",
        "line 3: split 'nowhere' is none of train, val and test",
        "line 4: age is 'old', and attributes are numbers",
        "line 5: http://a/b.png is a URL; fetch it first and name the file",
        "line 6: age is 'nan', and attributes are numbers",
    ]


def test_what_is_no_table_is_an_error(tmp_path):
    files = {
        "a.csv": b"name,label\nx,y\n",
        "b.jsonl": b"[1]\n",
        "c.csv": b"\xff\xfe\x00",
        "d.csv": b"path\n",
        "e.jsonl": b"{",
    }
    root = write_folder(tmp_path, files)
    assert complaint("manifest", root / "a.csv") == f"{root}/a.csv: has no column 'path'; there are: label, name"
    for name in ("b.jsonl", "c.csv", "e.jsonl"):
        assert "cannot be read as a table" in complaint("manifest", root / name)
    assert "has no line" in complaint("manifest", root / "d.csv")


def test_plain_paths_are_known_by_their_ending(tmp_path):
    for name, source in (
        ("a.CSV", "manifest"),
        ("a.jsonl", "manifest"),
        ("a.parquet", "parquet"),
        ("a.zip", "archive"),
    ):
        (tmp_path / name).write_bytes(b"")
        assert resolve(str(tmp_path / name))[0] == source


# Pairs.


@pytest.fixture
def pairs(tmp_path) -> Store:
    files = {f"{kind}/{place}.png": png(100 * number + place) for number, kind in enumerate("ab") for place in range(8)}
    files |= {"b/6.png": png(106)[:-30], "b/7.png": png(107, channels=1)}
    lines = "".join(f"a/{place}.png,b/{place}.png\n" for place in range(8))
    root = write_folder(tmp_path / "in", files | {"all.csv": f"path,pair\n{lines}".encode()})
    return build([str(root / "all.csv")], tmp_path / "out")


def test_pairs_are_stored_and_given_to_training(pairs):
    assert pairs.spec.paired and pairs.spec.shape == (3, 12, 12) and sum(pairs.counts.values()) == 7
    assert [one.reason for one in pairs.rejected()] == ["its other half: damaged: image file is truncated"]
    for split in pairs.counts:
        for key, image, other in zip(pairs.keys(split), pairs.images(split), pairs.pairs(split), strict=True):
            place = int(key[2])
            assert np.array_equal(image, pixels(place))
            assert np.array_equal(other, pixels(100 + place) if place < 7 else pixels(107, channels=1).repeat(3, 2))
    batch = Batches(pairs, "train", 3).take(np.arange(3))
    assert batch.condition.image is not None and batch.condition.image.shape == batch.images.shape == (3, 3, 12, 12)
    back = ((batch.condition.image + 1) * 127.5).round().movedim(1, -1).numpy()
    assert np.array_equal(back, pairs.pairs("train")[:3])


def test_both_halves_are_changed_alike(pairs, monkeypatch):
    from figment.core.config import Augment

    batches = Batches(pairs, "train", 4, augment=Augment(flip=True, crop=2))
    monkeypatch.setattr(batches, "pairs", batches.images)
    batch, plain = batches.batch_at(0), Batches(pairs, "train", 4).batch_at(0)
    assert batch.condition.image is not None
    assert np.array_equal(batch.images, batch.condition.image) and not np.array_equal(batch.images, plain.images)


def test_a_dataset_of_single_pictures_has_no_pairs(tmp_path):
    store = build(["shapes:4"], tmp_path)
    with pytest.raises(DataError, match="holds no pairs; build it from a source that brings a second picture"):
        store.pairs("train")


def test_a_pair_is_one_picture_above_the_other(pairs):
    from figment.data.pixels import decode_png

    both = decode_png(pairs.encoded("a/2.png"))
    assert np.array_equal(both, np.concatenate([pixels(2), pixels(102)]))


# WebDataset.


def test_shards_of_others_are_read(tmp_path):
    first = {
        "s/000.jpg": encode(pixels(1), "JPEG"),
        "s/000.cls": b"3",
        "s/000.txt": b"a cat",
        "s/000.npy": b"?",
    }
    second = {"s/001.png": png(2), "s/001.json": json.dumps({"caption": "a dog", "attributes": {"age": 2}}).encode()}
    third = {"s/002.json": b"{}"}
    write_tar(tmp_path / "shards/0.tar", first | second) if (tmp_path / "shards").mkdir() is None else None
    write_tar(tmp_path / "shards/1.tar", third | {"s/003.png": png(3), "s/003.json": b"{not"})
    cat, dog, broken = read("webdataset", tmp_path / "shards")
    assert (cat.key, cat.label, cat.captions) == ("s/000.jpg", "3", ("a cat",))
    assert (dog.captions, dog.attributes, dog.image) == (("a dog",), {"age": 2.0}, png(2))
    assert isinstance(broken, Rejected) and broken.reason.startswith("its .json cannot be used")


@pytest.mark.parametrize("kind", ["stills", "sequences", "pairs"])
def test_figments_own_shards_come_back_as_the_same_dataset(tmp_path, kind, request):
    if kind == "pairs":
        store = request.getfixturevalue("pairs")
    else:
        settings = {"shapes": {"frames": 3 if kind == "sequences" else 1, "hold_out": 0.2}}
        store = build(["shapes:24"], tmp_path / "one", BuildConfig(sources=settings))
    again = build([f"webdataset:{store.path}"], tmp_path / "two")
    assert (again.pixel_digest, again.label_digest) == (store.pixel_digest, store.label_digest) or kind == "pairs"
    assert again.spec == store.spec and again.counts.keys() == store.counts.keys()
    before, after = (
        {
            key: image.tobytes()
            for split in one.counts
            for key, image in zip(one.keys(split), one.images(split), strict=True)
        }
        for one in (store, again)
    )
    assert after == before


def test_where_there_are_no_shards_that_is_said(tmp_path):
    assert "no .tar in it; give a shard or a folder of them" in complaint("webdataset", tmp_path)
    write_tar(tmp_path / "a.tar", {"a.txt": b"hello"})
    assert "no sample with a picture in it" in complaint("webdataset", tmp_path)


# Parquet.


def table(path: Path, columns: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
    arrow = pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
    from pyarrow import parquet as files

    made = arrow.table(columns)
    files.write_table(made.replace_schema_metadata(metadata) if metadata else made, path)
    return path


def test_parquet_as_hugging_face_writes_it(tmp_path):
    names = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    columns = {
        "image": [{"bytes": png(place), "path": None} for place in range(3)],
        "label": [1, 0, -1],
        "text": ["a dog", "a cat", None],
    }
    path = table(tmp_path / "train-00000-of-00001.parquet", columns, {"huggingface": json.dumps(names)})
    first, second, third = read("parquet", path)
    assert (first.key, first.label, first.split) == ("train-00000-of-00001/000000", "dog", "train")
    assert (second.label, third.label) == ("cat", None)
    assert (first.image, first.captions, third.captions) == (png(0), ("a dog",), ())


def test_parquet_with_plain_bytes_captions_and_attributes(tmp_path):
    columns = {
        "picture": [png(1), b"", None],
        "captions": [["a cat", "a pet"], [], None],
        "attributes": [{"age": 3.0}, {"age": None}, None],
        "split": ["validation", "test", None],
    }
    first, second, third = read("parquet", table(tmp_path / "data.parquet", columns))
    assert (first.captions, first.attributes, first.split) == (("a cat", "a pet"), {"age": 3.0}, "val")
    assert (second.image, second.attributes, second.split) == (b"", {}, "test")
    assert third == Rejected("data/000002", "parquet", "has no bytes of a picture")


def test_what_is_no_parquet_of_pictures_is_an_error(tmp_path):
    path = table(tmp_path / "a.parquet", {"n": [1], "text": ["x"]})
    assert complaint("parquet", path) == f"{path}: no column holds pictures; there are n, text"
    path.write_bytes(b"<html>")
    assert "cannot be read as Parquet" in complaint("parquet", path)
    assert "no .parquet files in it" in complaint("parquet", write_folder(tmp_path / "empty", {"a.txt": b""}))


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(MissingExtra, match=r"parquet needs the extra 'parquet': pip install 'figment\[parquet\]'"):
        list(parquet.records(parquet.Config(str(tmp_path / "a.parquet"))))


def test_all_of_them_build(tmp_path):
    for name, source in (
        ("mnist", f"mnist:{mnist(tmp_path / 'mnist')}"),
        ("cifar", f"cifar10:{cifar_py(tmp_path / 'cifar')}"),
    ):
        store = build([source], tmp_path / f"{name}-out")
        assert store.counts["train"] >= 3 and store.held_out == "test" and len(store.spec.classes) >= 3
