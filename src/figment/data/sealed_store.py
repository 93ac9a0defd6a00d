"""The data room: a sealed dataset as training sees it, opened in memory: nothing of it is written in clear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from figment.core.errors import DataError
from figment.data.cache import pixels_in_memory
from figment.data.index import Index
from figment.data.keys import Lock
from figment.data.sealing import read_sealed
from figment.data.source import CARD, INDEX
from figment.data.store import Store

_JOURNAL = slice(18, 20)  # of an SQLite file: how it is written and read; 2 and 2 need files beside it, 1 and 1 do not


class SealedStore(Store):
    """A dataset in a sealed file: its index, its shards and its decoded pixels are held in memory.

    It is there to be read; what would change it raises DataError. Raises DataError for another key, and for a file that
    is damaged or holds no dataset.
    """

    def __init__(self, path: Path, lock: Lock):
        self.path = path
        files = read_sealed(
            path, lock, lambda name: name in (CARD, INDEX, f"{INDEX}-wal") or name.startswith("shards/")
        )
        if not {CARD, INDEX} <= files.keys():
            raise DataError(f"{path}: holds no dataset; give one that 'figment data seal DATASET' has made")
        if files.get(f"{INDEX}-wal"):
            raise DataError(f"{path}: was sealed while its index was being written; open it and seal it again")
        self._shards = _Shards(files)
        content = bytearray(files[INDEX])
        content[_JOURNAL] = b"\1\1"
        self._content = bytes(content)
        self.card = self._read_card()

    def encoded(self, key: str) -> bytes:
        """The PNG of a picture after all steps.

        Raises DataError for another key: refused pictures stay sealed.
        """
        with self._index() as index:
            found = next(index.query("select shard, offset, length from images where key = ?", key), None)
        if found is None or found[0] not in self._shards.files:
            raise DataError(f"{self.path}: there is no picture '{key}'")
        return self._shards.read(*found)

    @cached_property
    def _pixels(self) -> np.ndarray:
        with self._index() as index:
            return pixels_in_memory(self.path, self._shards, index, self.spec, sum(self.counts.values()))

    @contextmanager
    def _index(self) -> Iterator[Index]:
        with Index(None) as index:
            index.connection.deserialize(self._content)
            yield index

    @contextmanager
    def _edit(self) -> Iterator[Index]:
        raise DataError(f"{self.path}: is sealed and cannot be changed; open it with 'figment data open' first")
        yield  # what makes it a context


class _Shards:
    def __init__(self, files: Mapping[str, bytes]):
        self.files = files

    def read(self, shard: str, offset: int, length: int) -> bytes:
        """Raises FileNotFoundError where there is no such shard."""
        if shard not in self.files:
            raise FileNotFoundError(shard)
        return self.files[shard][offset : offset + length]
