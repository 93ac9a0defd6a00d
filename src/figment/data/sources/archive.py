"""Pictures inside a .zip or .tar (.gz .bz2 .xz), read as a stream: nothing is ever extracted to disk.

Part of the data room. Split and class come from the path of each member (`figment.data.layout`). Members that could do
harm (links, devices, paths that lead out, sizes and ratios of a bomb) come as Rejected; an archive that is a bomb as a
whole, or ends in the middle, stops the reading with a DataError. What kind of archive it is, its content decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from figment.core.errors import ConfigError, DataError
from figment.core.types import Record, Rejected
from figment.data import tars, zips
from figment.data.layout import PICTURE_SUFFIXES, place
from figment.data.members import Member

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

_MAGIC = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}


@dataclass(frozen=True)
class Config:
    """Which archive."""

    argument: str = ""
    """The file."""

    def __post_init__(self):
        if not self.argument:
            raise ConfigError("archive: give the file, as in archive:photos.zip")


def records(config: Config) -> Iterator[Record | Rejected]:
    """Every picture in the archive, as the bytes of its file; key: its path within the archive.

    A zip comes in natural order, a tar in its own. Raises DataError where the file is no archive, is damaged, holds
    too many members or no picture.
    """
    path = Path(config.argument)
    kind = _kind(path)
    is_empty = True
    for member in zips.members(path) if kind == "zip" else tars.members(path, kind):
        is_empty = False
        yield _record(path, member)
    if is_empty:
        raise DataError(f"{path}: no pictures in it; give an archive of {', '.join(PICTURE_SUFFIXES[:6])} ... files")


def count(config: Config) -> int | None:
    """How many records there will be, from a zip's table of contents; None for a tar, which has none."""
    path = Path(config.argument)
    return zips.count(path) if _kind(path) == "zip" else None


def _kind(path: Path) -> str:
    """zip, gz, bz2, xz or tar, by the first bytes."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give an archive of pictures") from None
    for first, kind in _MAGIC.items():
        if start.startswith(first):
            return kind
    if tars.is_tar(start):
        return "tar"
    if re.match(rb"\s*<(!doctype|html)", start, re.IGNORECASE):
        raise DataError(f"{path}: is a web page, not an archive: the download was refused; fetch it again")
    raise DataError(f"{path}: is not an archive that figment reads; give one of {', '.join(SUFFIXES)}")


def _record(path: Path, member: Member) -> Record | Rejected:
    if member.refusal:
        return Rejected(member.key, "archive", member.refusal)
    try:
        content = member.read()
    except ValueError as error:
        return Rejected(member.key, "archive", f"cannot be unpacked: {error}")
    split, label = place(member.key.split("/")[:-1])
    origin = {"source": path.name, "path": member.key}
    return Record(image=content, key=member.key, label=label, split=split, origin=origin)
