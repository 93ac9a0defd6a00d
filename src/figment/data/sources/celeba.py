"""CelebA as its makers give it: aligned faces with 40 attributes and the official partition: `celeba:FOLDER`.

Part of the data room. The folder holds img_align_celeba/ (or the .zip of it, as it is downloaded), list_attr_celeba and
list_eval_partition, as .txt or as Kaggle's .csv. Attributes are 1 where the list says 1, and 0 where it says -1. Z. Liu
et al., Deep Learning Face Attributes in the Wild, ICCV 2015; for non-commercial research only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from figment.core.errors import ConfigError, DataError
from figment.core.types import Record, Rejected
from figment.data import zips
from figment.data.files import read_file
from figment.data.headers import Unreadable
from figment.data.layout import is_picture, natural

_SPLITS = {"0": "train", "1": "val", "2": "test"}
_ORIGIN = {"source": "CelebA", "licence": "non-commercial research only"}


@dataclass(frozen=True)
class Config:
    """Where the dataset lies."""

    argument: str = ""
    """The folder that holds the pictures and the lists."""

    def __post_init__(self):
        if not self.argument:
            raise ConfigError("celeba: give the folder that holds img_align_celeba, as in celeba:downloads/celeba")


def records(config: Config) -> Iterator[Record | Rejected]:
    """The faces in order, as the bytes of their files; key: the file's name.

    Raises DataError where the pictures or the attributes are not there. Without the partition, splits are drawn later.
    """
    root = Path(config.argument)
    names, attributes = _attributes(root)
    partition = {row[0]: row[-1] for row in _rows(root, "list_eval_partition") or ()}
    for name, content in _pictures(root):
        if isinstance(content, Rejected):
            yield content
            continue
        if name not in attributes:
            yield Rejected(name, "celeba", "is not in list_attr_celeba")
            continue
        values = dict(zip(names, attributes[name], strict=True))
        split = _SPLITS.get(partition.get(name, ""))
        yield Record(image=content, key=name, split=split, attributes=values, origin={**_ORIGIN, "path": name})


def _rows(root: Path, name: str) -> list[list[str]] | None:
    """The cells of a list, line by line, from its .txt or .csv; None where there is neither."""
    found = (file for end in (".txt", ".csv") for file in sorted(root.rglob(name + end)) if file.is_file())
    file = next(found, None)
    if file is None:
        return None
    text = file.read_text(encoding="utf-8", errors="replace")
    return [re.split(r"[\s,]+", line.strip()) for line in text.splitlines() if line.strip()]


def _attributes(root: Path) -> tuple[list[str], dict[str, list[float]]]:
    """The names of the attributes, and file -> their values, 0 or 1."""
    rows = _rows(root, "list_attr_celeba")
    if not rows:
        raise DataError(f"{root}: no list_attr_celeba.txt in it; fetch it from the CelebA site")
    if len(rows) > 1 and len(rows[0]) == 1:  # the .txt begins with the number of pictures
        rows = rows[1:]
    names = [name for name in rows[0] if name != "image_id"]
    values = {row[0]: [float(cell == "1") for cell in row[1:]] for row in rows[1:]}
    short = next((name for name, cells in values.items() if len(cells) != len(names)), None)
    if short is not None or not values:
        raise DataError(f"{root}: list_attr_celeba ends in the middle of {short or 'its first line'}; fetch it again")
    return names, values


def _pictures(root: Path) -> Iterator[tuple[str, bytes | Rejected]]:
    """(name, content) of every face, from the folder or the zip."""
    folder = next((found for found in sorted(root.rglob("img_align_celeba*")) if _holds_pictures(found)), None)
    if folder is not None:
        for file in sorted(folder.iterdir(), key=lambda file: natural(file.name)):
            if is_picture((file.name,)):
                yield file.name, _read(file)
        return
    archive = next((file for file in sorted(root.rglob("img_align_celeba.zip")) if file.is_file()), None)
    if archive is None:
        raise DataError(
            f"{root}: no img_align_celeba in it, neither a folder nor a .zip; fetch it from the CelebA site"
        )
    for member in zips.members(archive):
        name = PurePosixPath(member.key).name
        try:
            yield name, Rejected(member.key, "celeba", member.refusal) if member.refusal else member.read()
        except ValueError as error:
            yield name, Rejected(member.key, "celeba", f"cannot be unpacked: {error}")


def _holds_pictures(folder: Path) -> bool:
    return folder.is_dir() and any(is_picture((entry.name,)) for entry in folder.iterdir())


def _read(file: Path) -> bytes | Rejected:
    try:
        return read_file(file)
    except Unreadable as reason:
        return Rejected(file.name, "celeba", str(reason))
