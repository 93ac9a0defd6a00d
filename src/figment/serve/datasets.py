"""The datasets that are served: questions to the index of each, quick at 100,000 pictures.

Every dataset has two threads with a connection of their own: one reads, one changes. SQLite lets both go on at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from figment.core.config import to_json
from figment.core.images import encode_png
from figment.data.card import LATE
from figment.data.decoding import decode
from figment.data.disk import disk_errors
from figment.data.index import Index
from figment.data.shards import ShardReader
from figment.data.source import INDEX
from figment.data.store import Store
from figment.serve.refusal import missing

# Each ends with the row's id by itself, so that pages come in order without being sorted.
_INDICES = ("status", "status, split", "status, label", "status, step", "duplicate_group")
# How sure a judge is of pictures that nobody has labelled, the least sure first: the margin between its two likeliest
# labels, or what it proposed one with. Of what no judge has seen nothing is known: in the middle. 2: a person's word.
_SURE = "cast(json_extract(origin, '$.margin') as real), cast(json_extract(origin, '$.proposed') as real)"
_IS_OPEN = "label is null or json_extract(origin, '$.proposed') is not null"
_USEFUL = f"case when {_IS_OPEN} then coalesce({_SURE}, 0.5) else 2.0 end"
_SHOWN = "id, key, status, split, label, captions, attributes, step, reason, duplicate_group, origin"

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Query:
    """Which pictures are looked at; None and "any" ask for all."""

    status: str = "accepted"
    split: str | None = None
    label: str | None = None
    step: str | None = None
    reason: str | None = None
    unlabelled: bool = False
    is_useful_first: bool = False

    @property
    def where(self) -> tuple[str, list[str]]:
        """An SQL condition and its values."""
        given = {name: getattr(self, name) for name in ("split", "label", "step", "reason")}
        given |= {"status": None if self.status == "any" else self.status}
        given = {name: value for name, value in given.items() if value is not None}
        conditions = [f"{name} = ?" for name in given] + (["label is null"] if self.unlabelled else [])
        return " and ".join(conditions) or "true", list(given.values())


class ServedData:
    """A dataset and its two threads."""

    def __init__(self, id: str, path: Path, name: str):
        self.id, self.name, self.path = id, name, path
        self.store = Store(path)
        self.card_task: asyncio.Task | None = None  # writes the card when nobody has changed anything for a while
        self._local = threading.local()
        self._reader = ThreadPoolExecutor(1, f"read {name}", self._connect)
        self._writer = ThreadPoolExecutor(1, f"change {name}", self._connect)
        self.is_writable = self._writer.submit(self._prepare).result()

    def _connect(self) -> None:
        self._local.index = Index(self.path / INDEX)

    def _disconnect(self) -> None:
        self._local.index.connection.close()

    def _prepare(self) -> bool:
        """Make what questions need; whether the dataset can be changed at all."""
        index: Index = self._local.index
        try:
            for columns in _INDICES:
                name = f"studio_{columns.replace(', ', '_')}"
                index.connection.execute(f"create index if not exists {name} on images ({columns})")
            index.connection.execute(f"create index if not exists studio_doubt on images (status, {_USEFUL})")
        except sqlite3.OperationalError:  # a folder that cannot be written
            return False
        if index.get_state(LATE):  # a server was killed before it wrote the card
            self._renew()
        return True

    async def look(self, act: Callable[Concatenate[Index, P], T], *args: P.args, **named: P.kwargs) -> T:
        """Ask the index something."""
        return await asyncio.get_running_loop().run_in_executor(
            self._reader, lambda: act(self._local.index, *args, **named)
        )

    async def change(self, act: Callable[Concatenate[Index, P], T], *args: P.args, **named: P.kwargs) -> T:
        """Change the index.

        Raises DataError where the disk refuses.
        """

        def changed() -> T:
            with disk_errors(self.path):
                return act(self._local.index, *args, **named)

        return await asyncio.get_running_loop().run_in_executor(self._writer, changed)

    def renew(self, index: Index) -> None:
        """Write the card anew, where labels were changed since it was written."""
        if index.get_state(LATE):
            self._renew()

    def _renew(self) -> None:
        self.store.relabel({})  # changes nothing, and ends with a new card
        self._local.index.set_state(LATE, False)

    def close(self) -> None:
        """Write what is late, and let go."""
        if self.is_writable:
            self._writer.submit(lambda: self.renew(self._local.index))
        for thread in (self._reader, self._writer):
            thread.submit(self._disconnect)
            thread.shutdown()

    def describe(self, index: Index) -> dict[str, Any]:
        """What `GET /api/data` tells."""
        labels = index.query("select label, count(*) from images where status = 'accepted' group by label")
        steps = index.query("select step, count(*) from images where status = 'rejected' group by step")
        spec, counts = (
            self.store.spec,
            index.query("select split, count(*) from images where status = 'accepted' group by split"),
        )
        return {
            "id": self.id,
            "name": self.name,
            "spec": to_json(spec),
            "counts": dict(counts),
            "labels": [{"label": label, "count": count} for label, count in labels],
            "attributes": list(spec.attributes),
            "reasons": [{"step": step, "count": count} for step, count in steps],
            "has_useful": bool(index.value(f"select 1 from images where status = 'accepted' and {_USEFUL} < 2")),
            "is_writable": self.is_writable,
        }

    def pictures(self, index: Index, query: Query, offset: int, limit: int) -> dict[str, Any]:
        """One page of the pictures that are looked at, and how many there are in all."""
        where, values = query.where
        order = f"{_USEFUL}, id" if query.is_useful_first else "id"
        page = f"select id from images where {where} order by {order} limit ? offset ?"
        ids = [id for (id,) in index.query(page, *values, limit, offset)]
        total = index.value(f"select count(*) from images where {where}", *values)
        return {"total": total, "images": self.rows(index, ids)}

    def rows(self, index: Index, ids: Sequence[int]) -> list[dict[str, Any]]:
        """What is told of these pictures, in this order."""
        marks = ", ".join("?" * len(ids))
        found = index.query(f"select {_SHOWN} from images where id in ({marks})", *ids)
        by_id = {row[0]: self._shown(row) for row in found}
        return [by_id[id] for id in ids if id in by_id]

    def _shown(self, row: Sequence[Any]) -> dict[str, Any]:
        facts = dict(zip(_SHOWN.split(", "), row, strict=True))
        id = facts.pop("id")
        proposed = json.loads(facts.pop("origin")).get("proposed")
        facts["proposed"] = None if proposed is None else float(proposed)
        facts |= {"captions": json.loads(facts["captions"]), "attributes": json.loads(facts["attributes"])}
        return {"row": id, "url": f"/api/data/{self.id}/images/{id}.png", **facts}

    def duplicates(self, index: Index, offset: int, limit: int) -> dict[str, Any]:
        """Groups of two pictures or more that are as good as the same."""
        groups = "from images where duplicate_group is not null group by duplicate_group having count(*) > 1"
        total = index.value(f"select count(*) from (select 1 {groups})")
        page = list(index.query(f"select duplicate_group {groups} order by min(id) limit ? offset ?", limit, offset))
        found = []
        for (group,) in page:
            ids = [id for (id,) in index.query("select id from images where duplicate_group = ? order by id", group)]
            found.append({"group": group[:16], "images": self.rows(index, ids[:limit])})
        return {"total": total, "groups": found}

    def png(self, index: Index, id: int) -> bytes:
        """A picture as it is in the dataset, or as it was when a step refused it.

        Raises a Refusal where there is none, Unreadable where it was refused because it cannot be decoded.
        """
        sql = "select shard, offset, length, pixel_digest from images where id = ?"
        missed: tuple[Any, ...] = (None,) * 4
        shard, offset, length, digest = next(index.query(sql, id), missed)
        if shard is None:
            raise missing("picture")
        with ShardReader(self.path) as shards, contextlib.suppress(FileNotFoundError):
            content = shards.read(shard, offset, length)
            return content if digest is not None else encode_png(decode(content, moving="first")[0])
        raise missing("picture")


def open_data(paths: Sequence[Path]) -> Mapping[str, ServedData]:
    """The datasets in these folders by their ids.

    Raises DataError where one is none.
    """
    return {f"d{number}": ServedData(f"d{number}", path, path.resolve().name) for number, path in enumerate(paths)}
