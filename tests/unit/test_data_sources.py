"""Sources: what a person types as SOURCE, the digits, and folders."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from figment.core import plugins
from figment.core.errors import ConfigError, DataError
from figment.core.types import Record, Rejected
from figment.data.source import resolve
from figment.data.sources import digits, folder
from tests.pictures import classes, jpeg, png, write_folder, write_zip


def keys(root: Path) -> list[str]:
    return [record.key for record in folder.records(folder.Config(str(root)))]


# What is typed.


def test_a_folder_and_an_archive_are_known_by_their_path(tmp_path):
    path = write_zip(tmp_path / "Cats.ZIP", classes(1))
    assert resolve(str(tmp_path)) == ("folder", folder.Config(str(tmp_path)))
    assert resolve(str(path))[0] == "archive"


def test_a_name_with_a_colon_is_a_source():
    assert resolve("digits:") == ("digits", digits.Config())


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("digitz:", "no source 'digitz'; did you mean 'digits'?"),
        ("digits", "digits: no such file or folder; did you mean the source 'digits:'?"),
        ("digits:8", "digits:8 takes no argument: type digits:"),
        ("folder:", "folder: give the folder of pictures, as in folder:photos"),
        ("archive:", "archive: give the file, as in archive:photos.zip"),
        (
            "nowhere/at/all",
            "'nowhere/at/all': no such file or folder; give a folder of pictures, an archive, or a source like digits:",
        ),
    ],
)
def test_what_cannot_be_a_source_is_answered_with_what_could(typed, message):
    with pytest.raises((DataError, ConfigError)) as caught:
        resolve(typed)
    assert str(caught.value) == message


def test_a_path_with_a_slip_is_answered_with_the_nearest(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=f"did you mean '{tmp_path / 'photos'}'"):
        resolve(str(tmp_path / "fotos"))


def test_figments_own_folders_are_not_pictures(tmp_path):
    run = write_folder(tmp_path / "run", {"config.json": b'{"family": "vae"}'})
    dataset = write_folder(tmp_path / "dataset", {"card.json": b"{}"})
    with pytest.raises(DataError, match="run: is a run, not a folder of pictures"):
        resolve(str(run))
    with pytest.raises(DataError, match=f"dataset: is a dataset already.*use it with --data {dataset}"):
        resolve(f"folder:{dataset}")


def test_other_files_are_answered_with_what_is_read(tmp_path):
    write_folder(tmp_path, {"cat.png": png(1), "notes.txt": b"hello"})
    with pytest.raises(DataError, match=f"cat.png: is a single picture; give the folder that it lies in: {tmp_path}"):
        resolve(str(tmp_path / "cat.png"))
    with pytest.raises(DataError, match=r"no source reads such a file; give a folder of pictures or one of \.zip"):
        resolve(str(tmp_path / "notes.txt"))


# The digits.


def test_digits_are_the_ones_of_scikit_learn():
    records = list(digits.records(digits.Config()))
    assert len(records) == digits.count(digits.Config()) == 1797
    assert [record.key for record in records[::1796]] == ["0000", "1796"]
    assert {record.label for record in records} == set("0123456789")
    assert {record.split for record in records} == {None}
    image = records[0].image
    assert isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape == (8, 8, 1)
    assert image[0, :, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]  # 0 0 5 13 9 1 0 0, of 16
    assert max(record.image.max() for record in records) == 255


# Folders.


def test_a_folder_gives_splits_classes_and_keys_in_natural_order(tmp_path):
    files = {f"{split}/cat/{place}.png": png(place) for split in ("train", "Test") for place in (10, 9)}
    records = list(folder.records(folder.Config(str(write_folder(tmp_path, files)))))
    assert [record.key for record in records] == [
        "Test/cat/9.png",
        "Test/cat/10.png",
        "train/cat/9.png",
        "train/cat/10.png",
    ]
    first = records[0]
    assert isinstance(first, Record)
    assert (first.split, first.label, first.image) == ("test", "cat", png(9))
    assert first.origin == {"source": tmp_path.name, "path": "Test/cat/9.png"}
    assert folder.count(folder.Config(str(tmp_path))) == 4


def test_a_flat_folder_has_neither_split_nor_class(tmp_path):
    (record,) = folder.records(folder.Config(str(write_folder(tmp_path, {"1.png": png(1)}))))
    assert isinstance(record, Record) and record.split is None and record.label is None


def test_hidden_and_other_files_are_left_out(tmp_path):
    names = ("1.png", ".2.png", ".git/3.png", "__MACOSX/4.png", "labels.csv", "Thumbs.db")
    assert keys(write_folder(tmp_path, {name: png(1) for name in names})) == ["1.png"]


def test_linked_folders_are_walked_once_and_circles_end(tmp_path):
    write_folder(tmp_path / "real", {"1.png": png(1)})
    root = write_folder(tmp_path / "root", {"a/2.png": png(2)})
    (root / "b").symlink_to(tmp_path / "real")
    (root / "c").symlink_to(tmp_path / "real")
    (root / "a" / "up").symlink_to(root)
    assert keys(root) == ["a/2.png", "b/1.png"]


def test_a_broken_link_and_a_huge_file_are_refused_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("figment.data.files.MAX_FILE_BYTES", 2**20)
    write_folder(tmp_path, {"1.png": png(1), "2.png": bytes(2**20 + 1)})
    (tmp_path / "3.png").symlink_to(tmp_path / "gone.png")
    _, huge, broken = folder.records(folder.Config(str(tmp_path)))
    assert huge == Rejected("2.png", "folder", "is larger than 1 MiB; scale it down first")
    assert broken == Rejected("3.png", "folder", "cannot be read: No such file or directory")


def test_names_that_are_not_utf8_get_keys_that_are(tmp_path):
    with open(os.fsencode(tmp_path) + b"/\xff.png", "wb") as file:
        file.write(png(1))
    assert keys(tmp_path) == ["\\xff.png"]


def test_a_folder_without_pictures_is_an_error_in_one_line(tmp_path):
    with pytest.raises(DataError) as caught:
        keys(tmp_path)
    wanted = "give a folder with .jpg, .jpeg, .jpe, .jfif, .png, .webp ... files"
    assert str(caught.value) == f"{tmp_path}: no pictures, it is empty; {wanted}"
    write_folder(tmp_path, {"a.txt": b"", "b/c.txt": b""})
    with pytest.raises(DataError) as caught:
        keys(tmp_path)
    assert str(caught.value) == f"{tmp_path}: no pictures, none of its 2 files is named like a picture; {wanted}"


# Pipes.

COCO_LIST = {"images": [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}], "annotations": []}
CELEBA_LIST = b"2\nSmiling\n1.jpg 1\n2.jpg -1\n"

# source -> (its files, the path of the pipe, what is given as the argument, key of what is refused)
PIPES: dict[str, tuple[dict[str, bytes], str, str, str]] = {
    "folder": ({"1.png": png(1)}, "pipe.png", "", "pipe.png"),
    "frames": ({"a/1.png": png(1), "a/2.png": png(2)}, "walk.gif", "", "walk.gif"),
    "pairs": ({"a/1.png": png(1), "b/1.png": png(2), "a/2.png": png(3)}, "b/2.png", "", "b/2.png"),
    "manifest": ({"1.png": png(1), "t.csv": b"path\n1.png\npipe.png\n"}, "pipe.png", "t.csv", "pipe.png"),
    "coco": (
        {"annotations/captions_val2017.json": json.dumps(COCO_LIST).encode(), "val2017/1.jpg": jpeg(1)},
        *("val2017/2.jpg", "", "val2017/2.jpg"),
    ),
    "celeba": ({"list_attr_celeba.txt": CELEBA_LIST, "img_align_celeba/1.jpg": jpeg(1)},
               "img_align_celeba/2.jpg", "", "2.jpg"),
    "imagenet": ({"train/n01440764/1.JPEG": jpeg(1)}, "train/n01440764/2.JPEG", "", "train/n01440764/2.JPEG"),
}  # fmt: skip


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Whoever waits for a pipe inside is woken by an error."""

    def wake(*_: object) -> None:
        raise TimeoutError("it waits for ever")

    before = signal.signal(signal.SIGALRM, wake)
    signal.setitimer(signal.ITIMER_REAL, 5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("source", PIPES)
def test_a_pipe_among_the_files_is_refused_and_never_waited_for(source, tmp_path):
    files, pipe, argument, refused = PIPES[source]
    write_folder(tmp_path, files)
    os.mkfifo(tmp_path / pipe)
    settings = {"length": 2} if source == "frames" else {}
    with at_once():
        name, config = resolve(f"{source}:{tmp_path / argument}", {source: settings})
        found = list(plugins.load("sources", name).records(config))
    assert sum(isinstance(one, Record) for one in found) == 1
    told = {one.key: one.reason for one in found if isinstance(one, Rejected)}
    assert list(told) == [refused]
    assert all("is no file but a folder, a pipe, a socket or a device" in reason for reason in told.values())


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("nowhere")], ids=["pipe", "lost link"])
@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("webdataset", "b.tar"),
        ("parquet", "train.parquet"),
        ("mnist", "t10k-images-idx3-ubyte"),
        ("cifar10", "data_batch_2.bin"),
        ("font", "b.ttf"),
        ("coco", "captions_val2017.json"),
    ],
)
def test_a_file_of_many_pictures_that_cannot_be_there_is_not_left_out_unsaid(source, name, make, tmp_path):
    folder = tmp_path / "annotations"
    folder.mkdir()
    make(folder / name)
    name, config = resolve(f"{source}:{tmp_path}")
    with at_once(), pytest.raises(DataError, match="leads nowhere, or is a pipe, a socket or a device; take it out"):
        list(plugins.load("sources", name).records(config))


@pytest.mark.parametrize("source", ["", "archive:", "manifest:", "parquet:", "mnist:", "cifar10:", "frames:", "font:"])
def test_a_pipe_as_the_source_is_an_error_in_one_line(source, tmp_path):
    os.mkfifo(tmp_path / "pipe.tar")
    with at_once(), pytest.raises(DataError, match=r"pipe\.tar: is a pipe, a socket or a device; give a file or a fol"):
        resolve(f"{source}{tmp_path / 'pipe.tar'}")
