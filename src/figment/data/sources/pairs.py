"""Pairs of pictures, such as photographs and drawings of them: `pairs:FOLDER`, which holds a folder of each.

Part of the data room. Files with one path in both folders, whatever their endings, belong together: `drawing/cat/1.png`
and `photo/cat/1.jpg`. `--pairs.given drawing` names the folder that a model is given; it learns to draw the other.
Split and class come from the path within the folder (`figment.data.layout`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from figment.core.errors import ConfigError, DataError, did_you_mean
from figment.core.types import Record, Rejected
from figment.data.files import read_file
from figment.data.headers import Unreadable
from figment.data.layout import is_hidden, is_picture, natural, place


@dataclass(frozen=True)
class Config:
    """Where the two folders lie, and which is which."""

    argument: str = ""
    """The folder that holds the two."""
    given: str = ""
    """Name of the folder whose pictures are the condition; the first by name where it is not said."""

    def __post_init__(self):
        if not self.argument:
            raise ConfigError("pairs: give the folder that holds the two folders, as in pairs:drawings-and-photos")


def records(config: Config) -> Iterator[Record | Rejected]:
    """Every pair, in natural order, as the bytes of both files; key: the path of the picture to draw.

    A picture without its other half comes as Rejected. Raises DataError where there are not two folders of pictures,
    ConfigError where `given` is none of them.
    """
    root = Path(config.argument)
    given, drawn = _two(root, config.given)
    conditions, pictures = _files(given), _files(drawn)
    if not conditions.keys() & pictures.keys():
        raise DataError(
            f"{root}: no file is named alike in {given.name} and {drawn.name}; name the halves of a pair alike"
        )
    for name in sorted(conditions.keys() | pictures.keys(), key=natural):
        halves = pictures.get(name), conditions.get(name)
        yield _record(root, name, *halves)


def _two(root: Path, given: str) -> tuple[Path, Path]:
    """(folder of the conditions, folder of the pictures to draw)"""
    found = [entry for entry in root.iterdir() if entry.is_dir() and not is_hidden(entry.name)] if root.is_dir() else []
    if len(found) != 2:
        raise DataError(
            f"{root}: holds {len(found)} folders, not two; give a folder with one of each half of the pairs"
        )
    first, second = sorted(found, key=lambda folder: natural(folder.name))
    if given not in ("", first.name, second.name):
        names = [first.name, second.name]
        raise ConfigError(f"--pairs.given {given}: no such folder{did_you_mean(given, names)}")
    return (second, first) if given == second.name else (first, second)


def _files(folder: Path) -> dict[str, Path]:
    """Path within the folder, without its ending -> the file."""
    files = (
        file for file in sorted(folder.rglob("*")) if not file.is_dir() and is_picture(file.relative_to(folder).parts)
    )
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def _record(root: Path, name: str, picture: Path | None, condition: Path | None) -> Record | Rejected:
    key = (picture or condition or root).relative_to(root).as_posix()
    if picture is None or condition is None:
        return Rejected(key, "pairs", "has no other half of the same name")
    split, label = place(Path(name).parts[:-1])
    try:
        image, pair = read_file(picture), read_file(condition)
    except Unreadable as reason:
        return Rejected(key, "pairs", str(reason))
    origin = {"source": root.name, "path": key, "pair": condition.relative_to(root).as_posix()}
    return Record(image=image, key=key, label=label, split=split, pair=pair, origin=origin)
