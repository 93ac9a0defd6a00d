"""A folder of pictures: `<split>/<class>/<file>`, `<class>/<file>` or flat; `figment.data.layout` has the rule.

Part of the data room. Files are candidates by their suffix; whether they are pictures is decided when they are decoded.
Hidden files and folders are left out; links to folders are followed, each real folder once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from figment.core.errors import ConfigError, DataError
from figment.core.types import Record, Rejected
from figment.data.files import read_file
from figment.data.headers import Unreadable
from figment.data.layout import PICTURE_SUFFIXES, is_hidden, is_picture, natural, place


@dataclass(frozen=True)
class Config:
    """Where the pictures lie."""

    argument: str = ""
    """The folder."""

    def __post_init__(self):
        if not self.argument:
            raise ConfigError("folder: give the folder of pictures, as in folder:photos")


def records(config: Config) -> Iterator[Record | Rejected]:
    """Every picture below the folder, in natural order, as the bytes of its file; key: its path within the folder.

    A file that cannot be read comes as Rejected. Raises DataError where there is no folder or no picture.
    """
    root = Path(config.argument)
    is_empty = True
    for file in _files(root):
        is_empty = False
        yield _read(root, file)
    if is_empty:
        raise DataError(_nothing_in(root))


def count(config: Config) -> int:
    """How many records there will be: a walk that opens no file."""
    return sum(1 for _ in _files(Path(config.argument)))


def _files(root: Path) -> Iterator[Path]:
    """Paths of the pictures, each relative to the folder."""
    return (file for file in _walk(root, Path(), set()) if is_picture(file.parts))


def _walk(root: Path, below: Path, entered: set[tuple[int, int]]) -> Iterator[Path]:
    """Depth first, naturally sorted; `entered` holds the folders already walked, so that a circle of links ends."""
    try:
        status = (root / below).stat()
        with os.scandir(root / below) as entries:
            found = sorted(entries, key=lambda entry: natural(entry.name))
    except OSError as error:
        raise DataError(f"{root / below}: cannot be read ({error.strerror}); give a folder of pictures") from None
    if (status.st_dev, status.st_ino) in entered:
        return
    entered.add((status.st_dev, status.st_ino))
    for entry in found:
        if is_hidden(entry.name):
            continue
        if _is_folder(entry):
            yield from _walk(root, below / entry.name, entered)
        else:
            yield below / entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _read(root: Path, file: Path) -> Record | Rejected:
    # Names that are not UTF-8 reach Python with stand-ins that no database takes.
    key = os.fsencode(file.as_posix()).decode("utf-8", "backslashreplace")
    split, label = place(Path(key).parts[:-1])
    try:
        content = read_file(root / file)
    except Unreadable as reason:
        return Rejected(key, "folder", str(reason))
    return Record(image=content, key=key, label=label, split=split, origin={"source": root.name, "path": key})


def _nothing_in(root: Path) -> str:
    others = sum(1 for _ in _walk(root, Path(), set()))
    held = f"none of its {others} files is named like a picture" if others else "it is empty"
    return f"{root}: no pictures, {held}; give a folder with {', '.join(PICTURE_SUFFIXES[:6])} ... files"
