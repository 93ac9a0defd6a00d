"""The data room: the index of a dataset, one SQLite table with a row for every picture, kept or refused.

Labels, splits and reasons live only here, and every change of them is one transaction. Any SQL tool reads the file:
`select label, count(*) from images where status = 'accepted' group by label`.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from figment.core.types import Rejected

_SCHEMA = """
create table if not exists images (
    id integer primary key,         -- place in the stream of all sources, from 0
    key text not null unique,
    status text not null check (status in ('accepted', 'rejected')),
    step text,                      -- which step refused it, and why
    reason text,
    shard text,                     -- where its bytes lie: tar file within the dataset, first byte, number of bytes
    offset integer,
    length integer,
    file_digest text,               -- SHA-256 of the file as the source gave it
    pixel_digest text,              -- SHA-256 of shape and pixels after all steps
    height integer,
    width integer,
    channels integer,
    frames integer,                 -- of a sequence, a strip from top to bottom; 1 for a picture
    paired integer,                 -- 1 where its other half stands below it
    label text,
    attributes text not null,       -- JSON object of numbers
    captions text not null,         -- JSON list of texts
    split text,
    source_split text,              -- the split that the source brought
    quality text not null,          -- JSON object of measured figures
    hashes blob,                    -- of its looks, its mirror image, its inner part: 32 bytes each (data/hashing.py)
    thumbnail blob,                 -- uint8 (16, 16, C), which near duplicates and outliers are compared by
    duplicate_group text,           -- pixel_digest that stands for the group; a split never cuts one
    origin text not null,           -- JSON object: where it came from
    licence text
);
create table if not exists state (name text primary key, value text not null);  -- recipe, card: JSON
"""

# Parts of statements: what a model sees, and its order in the memory map, split by split.
IS_ACCEPTED = "status = 'accepted'"
ACCEPTED = f"from images where {IS_ACCEPTED}"
IN_ORDER = "order by case split when 'train' then 0 when 'val' then 1 else 2 end, id"

_JSON_COLUMNS = ("attributes", "captions", "quality", "origin")


@dataclass(frozen=True, slots=True)
class Row:
    """One picture of the index; the table above says what each column holds."""

    id: int
    key: str
    status: str
    step: str | None = None
    reason: str | None = None
    shard: str | None = None
    offset: int | None = None
    length: int | None = None
    file_digest: str | None = None
    pixel_digest: str | None = None
    height: int | None = None
    width: int | None = None
    channels: int | None = None
    frames: int = 1
    paired: int = 0
    label: str | None = None
    attributes: Mapping[str, float] = field(default_factory=dict)
    captions: tuple[str, ...] = ()
    split: str | None = None
    source_split: str | None = None
    quality: Mapping[str, Any] = field(default_factory=dict)
    hashes: bytes | None = None
    thumbnail: bytes | None = None
    duplicate_group: str | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    licence: str | None = None


COLUMNS = tuple(column.name for column in fields(Row))


class Index:
    """The index in a file, which is made where it is missing, or in memory for path None.

    Use as a context: leaving it closes the connection. Raises sqlite3.OperationalError where there can be no file.
    """

    def __init__(self, path: Path | None):
        self.connection = _connect(path)

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that happens inside, or nothing."""
        self.connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            self.connection.execute("rollback")
            raise
        self.connection.execute("commit")

    def lock(self) -> None:
        """Keep every other process out until the connection closes; a process that is killed lets go too.

        Raises sqlite3.OperationalError, after some seconds, where another one is at work.
        """
        self.connection.execute("pragma locking_mode = exclusive")
        with self.transaction():
            pass

    def query(self, sql: str, *values: Any) -> Iterator[tuple]:
        """The answer of an SQL statement, row by row."""
        return iter(self.connection.execute(sql, values))

    def value(self, sql: str, *values: Any) -> Any:
        """The single value that an SQL statement answers with; None where it answers with nothing."""
        row = self.connection.execute(sql, values).fetchone()
        return row[0] if row else None

    def rows(self, where: str = "true", *values: Any) -> Iterator[Row]:
        """The rows that an SQL condition picks, in the order of the stream."""
        for found in self.query(f"select {', '.join(COLUMNS)} from images where {where} order by id", *values):
            yield _row(dict(zip(COLUMNS, found, strict=True)))

    def add(self, rows: Iterable[Row]) -> None:
        """Insert rows; their ids and keys must be new."""
        marks = ", ".join("?" * len(COLUMNS))
        self.connection.executemany(f"insert into images ({', '.join(COLUMNS)}) values ({marks})", map(_cells, rows))

    def replace(self, rows: Sequence[Row]) -> None:
        """Put rows in the place of those with the same ids."""
        self.connection.executemany("delete from images where id = ?", [(row.id,) for row in rows])
        self.add(rows)

    def reject(self, refused: Iterable[Rejected]) -> None:
        """Mark pictures as refused; their bytes stay where they are."""
        self.connection.executemany(
            "update images set status = 'rejected', step = ?, reason = ?, split = null where key = ?",
            [(one.step, one.reason, one.key) for one in refused],
        )

    def set_splits(self, splits: Iterable[tuple[int, str]]) -> None:
        """Put pictures, given by their id, into splits."""
        self.connection.executemany("update images set split = ? where id = ?", [(split, id) for id, split in splits])

    def settle_splits(self) -> None:
        """Accepted pictures that no step has put into a split: where their source says, else train."""
        self.connection.execute(
            f"update images set split = coalesce(source_split, 'train') where {IS_ACCEPTED} and split is null"
        )

    def get_state(self, name: str) -> Any:
        """What `set_state` kept under a name, or None."""
        text = self.value("select value from state where name = ?", name)
        return None if text is None else json.loads(text)

    def set_state(self, name: str, value: Any) -> None:
        self.connection.execute(
            "insert or replace into state values (?, ?)", (name, json.dumps(value, ensure_ascii=False))
        )


def _connect(path: Path | None) -> sqlite3.Connection:
    connection = sqlite3.connect(path or ":memory:", isolation_level=None)
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")  # a label that was taken survives a power cut
        connection.executescript(_SCHEMA)
        _add_columns(connection)
        return connection
    except sqlite3.DatabaseError:
        connection.close()
        if path is None or not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
            raise
        # Where the folder cannot be written, SQLite reads such a file only on the promise that nobody else writes it.
        return sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True, isolation_level=None)


def _add_columns(connection: sqlite3.Connection) -> None:
    """Bring the index of an earlier figment, which knew single pictures only or no hashes, up to date."""
    known = {name for (name,) in connection.execute("select name from pragma_table_info('images')")}
    later = {"frames": "integer default 1", "paired": "integer default 0", "hashes": "blob", "thumbnail": "blob"}
    for name, kind in later.items():
        if name not in known:
            connection.execute(f"alter table images add column {name} {kind}")


def _row(cells: dict[str, Any]) -> Row:
    for name in _JSON_COLUMNS:
        cells[name] = json.loads(cells[name])
    cells["captions"] = tuple(cells["captions"])
    return Row(**cells)


def _cells(row: Row) -> list[Any]:
    return [_json(getattr(row, name)) if name in _JSON_COLUMNS else getattr(row, name) for name in COLUMNS]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
