"""The data room: the members of a tar file, plain or packed, in one pass from the first byte to the last."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from figment.core.errors import DataError
from figment.data.members import (
    MAX_MEMBERS,
    MAX_RATIO,
    Member,
    is_candidate,
    member_key,
    refusal_of_name,
    refusal_of_size,
)

RATIO_FROM_BYTES = 64 * 2**20  # below this a ratio says nothing
MAX_HEADER_BYTES = 16 * 2**20  # what a tar may spend between two members

_UNPACK: dict[str, Callable[[Any], Any]] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open, "tar": lambda file: file}


def members(path: Path, packing: str, wanted: Callable[[str], bool] = is_candidate) -> Iterator[Member]:
    """The candidates in the archive's own order; each must be read before the next is asked for.

    packing: "gz", "bz2", "xz", or "tar" for none. wanted: which keys are candidates; pictures, unless it is given.

    Raises DataError where the file is damaged, ends in the middle, holds too many members, or unpacks like a bomb.
    """
    place = _Place(path)
    with _damage(place), path.open("rb") as packed, _UNPACK[packing](packed) as unpacked:
        stream = _Metered(path, packed, unpacked)
        # tarfile only ever calls .read of what it is given here.
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_StrictHeader) as archive:  # type: ignore[call-overload]
            for info in archive:
                place.num_members += 1
                if place.num_members > MAX_MEMBERS:
                    raise DataError(f"{path}: holds more than {MAX_MEMBERS:,} members; split it into several archives")
                stream.limit = info.offset_data + info.size + MAX_HEADER_BYTES
                key = member_key(info.name)
                if not info.isdir() and wanted(key):
                    yield Member(key, partial(_read, place, archive, info), _refusal(key, info))
                archive.members = []  # or the names of all members stay in memory


def is_tar(start: bytes) -> bool:
    """Whether a file that begins with these 512 bytes is a tar, old or new; an empty one begins with zeros."""
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return bool(start) and not any(start)
    return True


@dataclass
class _Place:
    """How far into an archive reading has come."""

    path: Path
    num_members: int = 0


@contextmanager
def _damage(place: _Place) -> Iterator[None]:
    """Say of damage where it is. A stream cannot go on behind it, so it ends the reading."""
    try:
        yield
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        where = f"after member {place.num_members:,} ({error})"
        raise DataError(f"{place.path}: is damaged {where}; download or pack it again") from None


def _read(place: _Place, archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    content = archive.extractfile(info)
    assert content is not None  # only links and devices have none, and those are refused
    with _damage(place):
        return content.read()


def _refusal(key: str, info: tarfile.TarInfo) -> str | None:
    if refusal := refusal_of_name(key):
        return refusal
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.issparse():
        return "is a link, a device or a sparse file, not a plain one"
    return refusal_of_size(info.size)


class _StrictHeader(tarfile.TarInfo):
    """tarfile takes a damaged header in the middle for the end of the archive, and silently drops all that follows."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(tarfile)
        except _HEADER_ERRORS as error:
            raise _DAMAGED(str(error)) from None


# Looked up here, because the method above has to call an argument "tarfile".
_HEADER_ERRORS = (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError)  # type: ignore[attr-defined]
_DAMAGED = tarfile.ReadError


class _Metered:
    """The unpacked bytes of a tar, as they are read; refuses to go on unpacking a bomb.

    limit: the place up to which reading is expected: the end of the present member and some header bytes.
    """

    def __init__(self, path: Path, packed: IO[bytes], unpacked: IO[bytes]):
        self.path, self._packed, self._unpacked = path, packed, unpacked
        self._place = 0
        self.limit = MAX_HEADER_BYTES

    def read(self, size: int) -> bytes:
        block = self._unpacked.read(size)
        self._place += len(block)
        is_bomb = self._place > RATIO_FROM_BYTES and self._place > MAX_RATIO * self._packed.tell()
        if is_bomb or self._place > self.limit:
            raise DataError(f"{self.path}: unpacks to far more than pictures do, like an archive bomb; refused")
        return block
