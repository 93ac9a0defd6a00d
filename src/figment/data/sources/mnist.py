"""MNIST and its kin as their makers give them, IDX files, gzipped or not: `mnist:FOLDER`.

Part of the data room. Fashion-MNIST, KMNIST and EMNIST come in the same form. Every
`...images-idx3-ubyte` in the folder is read, with the labels of the same name beside it. Files named t10k or test are
the test split, the others train. Labels are numbers, as in the files.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np

from figment.core.errors import ConfigError, DataError
from figment.core.types import Record
from figment.data.files import only_files
from figment.data.layout import natural

MAX_SIDE = 4096
_UBYTE = 8  # the type of data that an IDX file names in its third byte


@dataclass(frozen=True)
class Config:
    """Where the files lie."""

    argument: str = ""
    """The folder of the IDX files, or one file of images."""

    def __post_init__(self):
        if not self.argument:
            raise ConfigError("mnist: give the folder of the IDX files, as in mnist:downloads/mnist")


def records(config: Config) -> Iterator[Record]:
    """The pictures of every file: image uint8 (H, W, 1); key: "train/00000" or "test/00000".

    Raises DataError where there is no file of images, or one is damaged.
    """
    for file in _image_files(Path(config.argument)):
        split = _split(file)
        labels = _labels(file)
        with _open(file) as stream:
            number, height, width = _header(file, stream, dimensions=3)
            if labels is not None and len(labels) != number:
                raise DataError(f"{file}: has {number:,} images and {len(labels):,} labels; fetch both files again")
            for place in range(number):
                pixels = _read(file, stream, height * width)
                yield Record(
                    image=np.frombuffer(pixels, np.uint8).reshape(height, width, 1),
                    key=f"{_set_name(file)}{split}/{place:05d}",
                    label=None if labels is None else str(labels[place]),
                    split=split,
                    origin={"source": file.name},
                )


def count(config: Config) -> int:
    """How many records there will be, from the files' headers."""
    total = 0
    for file in _image_files(Path(config.argument)):
        with _open(file) as stream:
            total += _header(file, stream, dimensions=3)[0]
    return total


def _image_files(path: Path) -> list[Path]:
    found = [path] if path.is_file() else only_files(path.rglob("*images*idx3*"))
    files = sorted((file for file in found if not file.name.startswith(".")), key=lambda file: natural(file.name))
    if not files:
        raise DataError(f"{path}: no IDX files in it; give a folder with train-images-idx3-ubyte.gz and its like")
    return files


def _split(file: Path) -> str:
    return "test" if "t10k" in file.name or "test" in file.name else "train"


def _set_name(file: Path) -> str:
    """EMNIST's files are named emnist-letters-train-...: several sets lie in one folder."""
    before = file.name.partition(_split(file))[0].partition("t10k")[0].strip("-_.")
    return f"{before}-" if before and "images" not in before else ""


def _labels(images: Path) -> np.ndarray | None:
    """uint8 (N,), from the file beside the images; None where there is none."""
    name = images.name.replace("images", "labels").replace("idx3", "idx1")
    file = next(
        (found for end in ("", ".gz") if (found := images.with_name(name.removesuffix(".gz") + end)).is_file()), None
    )
    if file is None or file == images:
        return None
    with _open(file) as stream:
        (number,) = _header(file, stream, dimensions=1)
        return np.frombuffer(_read(file, stream, number), np.uint8)


def _open(file: Path) -> IO[bytes]:
    with file.open("rb") as stream:
        is_packed = stream.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(file)) if is_packed else file.open("rb")


def _header(file: Path, stream: IO[bytes], dimensions: int) -> tuple[int, ...]:
    """The sizes that an IDX file declares, checked."""
    start = _read(file, stream, 4 + 4 * dimensions)
    zero, kind, found, *sizes = struct.unpack(f">HBB{dimensions}I", start)
    if (zero, kind, found) != (0, _UBYTE, dimensions):
        raise DataError(f"{file}: is no IDX file of bytes in {dimensions} dimensions; give the files of MNIST")
    if any(not 1 <= side <= MAX_SIDE for side in sizes[1:]):
        raise DataError(f"{file}: declares images of {'x'.join(map(str, sizes[1:]))} pixels; it is damaged")
    return tuple(sizes)


def _read(file: Path, stream: IO[bytes], size: int) -> bytes:
    """Exactly so many bytes: what a file declares is never trusted with memory before it is there."""
    try:
        content = stream.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file}: is damaged ({error}); fetch it again") from None
    if len(content) != size:
        raise DataError(f"{file}: ends in the middle; fetch it again")
    return content
