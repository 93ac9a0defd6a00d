"""The data room: shards, plain tar files in WebDataset layout (`000000007.png`, `000000007.json`, ...).

A shard is written once, whole, and never changed. The same content gives the same bytes: no times, no owners.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from figment.core.durable import make_folder, sync_folder

BLOCK_BYTES = 512  # a tar's header, and what it pads to

_END = bytes(2 * BLOCK_BYTES)


def tar_member(name: str, content: bytes) -> bytes:
    """A file as it stands in a tar: header, content, padding. The content begins BLOCK_BYTES in."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % BLOCK_BYTES)


def write_shard(path: Path, members: Iterable[bytes]) -> None:
    """Write members made by `tar_member`; a reader, or a power cut, finds the whole shard or none."""
    make_folder(path.parent)
    fresh = path.with_name(path.name + ".tmp")
    with fresh.open("wb") as file:
        file.writelines(members)
        file.write(_END)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


class Shards(Protocol):
    """Where the members of shards are read from: files, or memory."""

    def read(self, shard: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` of a shard, named as in the index."""
        ...


class ShardReader:
    """Reads single members of the shards of a dataset; use as a context. Fastest in the order of the shards."""

    def __init__(self, root: Path):
        self._root = root
        self._shard, self._file = "", None

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def read(self, shard: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` of a shard, named as in the index.

        Raises OSError where there is no such shard; a shard that ends earlier gives fewer bytes.
        """
        if shard != self._shard or self._file is None:
            self.__exit__()
            self._shard, self._file = shard, (self._root / shard).open("rb")
        self._file.seek(offset)
        return self._file.read(length)
