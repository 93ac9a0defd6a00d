"""The data room: the members of a zip file, by its table of contents; none is extracted to disk."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from figment.core.errors import DataError
from figment.data.layout import natural
from figment.data.members import (
    MAX_MEMBERS,
    MAX_RATIO,
    Member,
    is_candidate,
    member_key,
    refusal_of_name,
    refusal_of_size,
)

RATIO_FROM_BYTES = 2**20  # below this a ratio says nothing


def members(path: Path) -> Iterator[Member]:
    """The candidates in natural order, so that a zip gives what the folder that it was made from gives.

    Raises DataError where the file is damaged or holds too many members.
    """
    with _open(path) as archive:
        found = [(_key(info), info) for info in archive.filelist if _is_candidate(info)]
        found.sort(key=lambda pair: [natural(part) for part in pair[0].split("/")])
        for key, info in found:
            yield Member(key, lambda info=info: _unpack(archive, info), _refusal(key, info))


def count(path: Path) -> int:
    """How many members there will be."""
    with _open(path) as archive:
        return sum(_is_candidate(info) for info in archive.filelist)


def _open(path: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise DataError(f"{path}: is damaged ({error}); download or pack it again") from None
    if len(archive.filelist) > MAX_MEMBERS:
        raise DataError(f"{path}: holds more than {MAX_MEMBERS:,} members; split it into several archives")
    return archive


def _key(info: zipfile.ZipInfo) -> str:
    return member_key(info.filename.replace("\\", "/"))  # older Windows tools write backslashes


def _is_candidate(info: zipfile.ZipInfo) -> bool:
    return not info.is_dir() and is_candidate(_key(info))


def _refusal(key: str, info: zipfile.ZipInfo) -> str | None:
    if refusal := refusal_of_name(key):
        return refusal
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return "is a link or a device, not a file"
    if info.flag_bits & 0x1:
        return "is encrypted; unpack the archive with its password and give the folder"
    if info.file_size > RATIO_FROM_BYTES and info.file_size > MAX_RATIO * info.compress_size:
        return f"unpacks to more than {MAX_RATIO} times its size, like an archive bomb"
    return refusal_of_size(info.file_size)


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    import lzma
    import zlib

    try:
        return archive.read(info)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError) as error:
        raise ValueError(str(error) or "it ends in the middle") from None
