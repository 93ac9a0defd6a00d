"""CIFAR-10 and CIFAR-100 as their makers give them, the binary version or the pickled one: `cifar10:PATH`.

Part of the data room. PATH is the unpacked folder or the .tar.gz itself. A. Krizhevsky, Learning Multiple Layers of
Features from Tiny Images, 2009. The pickles of the Python version are read by an unpickler that can make nothing but
bytes, numbers, texts, lists, dicts, and a stand-in for an array (`figment.data.plain_pickle`); no code of theirs runs.
"""

from __future__ import annotations

import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from figment.core.errors import ConfigError, DataError
from figment.core.types import Record
from figment.data.files import only_files
from figment.data.headers import one_line
from figment.data.plain_pickle import load

NUM_PIXELS = 3 * 32 * 32
MAX_FILE_BYTES = 512 * 2**20

# Batches and names of the binary and the Python version; CIFAR-100 has one file a split.
_BATCH = re.compile(r"(data_batch_[1-9]|test_batch|train|test)(\.bin)?")
_NAMES = ("batches.meta.txt", "fine_label_names.txt", "batches.meta", "meta")


@dataclass(frozen=True)
class Config:
    """Where the files lie."""

    argument: str = ""
    """The folder cifar-10-batches-bin or cifar-10-batches-py, or the .tar.gz that holds it."""

    def __post_init__(self):
        if not self.argument:
            raise ConfigError("cifar10: give the folder or the .tar.gz, as in cifar10:cifar-10-binary.tar.gz")


def records(config: Config) -> Iterator[Record]:
    """The pictures in the order of the batches: image uint8 (32, 32, 3); key: "train/00000" or "test/00000".

    Raises DataError where there is no batch, or one is damaged.
    """
    path = Path(config.argument)
    names: Sequence[str] = ()
    places = {"train": 0, "test": 0}
    is_empty = True
    for name, content in _files(path):
        if name in _NAMES:
            names = _label_names(path, name, content)
            continue
        is_empty = False
        split = "test" if name.startswith("test") else "train"
        pixels, labels = _batch(path, name, content)
        for image, label in zip(pixels, labels, strict=True):
            if names and label >= len(names):
                raise DataError(
                    f"{path}: {name} has the label {label}, and there are {len(names)} names; fetch it again"
                )
            yield Record(
                image=image,
                key=f"{split}/{places[split]:05d}",
                label=names[label] if names else str(label),
                split=split,
                origin={"source": "CIFAR", "path": name},
            )
            places[split] += 1
    if is_empty:
        raise DataError(f"{path}: no CIFAR batches in it; give cifar-10-batches-bin, -py or the .tar.gz")


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the label names, then of every batch in order, from a folder or an archive."""
    if path.is_dir():
        named = (file for file in path.rglob("*") if file.name in _NAMES or _BATCH.fullmatch(file.name))
        found = {file.name: file for file in only_files(named) if file.stat().st_size <= MAX_FILE_BYTES}
        for name in _in_order(found):
            yield name, found[name].read_bytes()
        return
    try:
        with tarfile.open(path) as archive:
            members = {
                PurePosixPath(info.name).name: info for info in archive if info.isreg() and info.size <= MAX_FILE_BYTES
            }
            for name in _in_order(members):
                member = archive.extractfile(members[name])
                assert member is not None  # only links have none
                yield name, member.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error, lzma.LZMAError) as error:
        raise DataError(
            f"{path}: cannot be read ({one_line(error)}); give the folder of the batches or the .tar.gz"
        ) from None


def _in_order(names: Mapping[str, Any]) -> list[str]:
    """The files that matter, names of labels first; of two versions in one folder, the binary one."""
    batches = sorted(name for name in names if _BATCH.fullmatch(name))
    if any(name.endswith(".bin") for name in batches):
        batches = [name for name in batches if name.endswith(".bin")]
    return [name for name in _NAMES if name in names][:1] + sorted(batches, key=lambda name: name.startswith("test"))


def _label_names(path: Path, name: str, content: bytes) -> list[str]:
    if name.endswith(".txt"):
        return content.decode("utf-8", "replace").split()
    found = _unpickled(path, name, content)
    names = found.get(b"label_names", found.get(b"fine_label_names"))
    if not isinstance(names, list):
        raise DataError(f"{path}: {name} holds no names of labels; fetch it again")
    return [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in names]


def _batch(path: Path, name: str, content: bytes) -> tuple[np.ndarray, list[int]]:
    """(uint8 (N, 32, 32, 3), N labels)"""
    if name.endswith(".bin"):
        before = 2 if name in ("train.bin", "test.bin") else 1  # CIFAR-100 has a coarse label before the fine one
        if not content or len(content) % (before + NUM_PIXELS):
            raise DataError(f"{path}: {name} ends in the middle of a picture; fetch it again")
        rows = np.frombuffer(content, np.uint8).reshape(-1, before + NUM_PIXELS)
        return _upright(rows[:, before:]), rows[:, before - 1].tolist()
    found = _unpickled(path, name, content)
    pixels, labels = found.get(b"data"), found.get(b"labels", found.get(b"fine_labels"))
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != NUM_PIXELS:
        raise DataError(f"{path}: {name} holds no pictures of 32x32x3; fetch it again")
    if (
        not isinstance(labels, list)
        or len(labels) != len(pixels)
        or not all(type(one) is int and one >= 0 for one in labels)
    ):
        raise DataError(f"{path}: {name} does not hold a label for each picture; fetch it again")
    return _upright(pixels), labels


def _upright(planes: np.ndarray) -> np.ndarray:
    """uint8 (N, 3072), colour by colour -> (N, 32, 32, 3)"""
    return np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _unpickled(path: Path, name: str, content: bytes) -> dict[Any, Any]:
    try:
        found = load(content)
    except ValueError as error:
        raise DataError(f"{path}: {name} {error}; give the files of the CIFAR site") from None
    return found if isinstance(found, dict) else {}
