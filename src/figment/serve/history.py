"""What was drawn, kept over a restart: a row a picture in SQLite, and the files beside it.

    STATE/history.sqlite      STATE/images/<first two signs of the id>/<id>.<suffix>

A file is written before its row, and a row is deleted before its file: what the table knows is there.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from figment.core.images import RECIPE_KEY
from figment.data.disk import disk_errors
from figment.data.headers import Unreadable, open_picture
from figment.serve.jobs import Job, Piece
from figment.serve.refusal import missing

MOST_KEPT = 20_000  # pictures without a star
MOST_LISTED = 500

_SCHEMA = """
create table if not exists pictures (
    number integer primary key,     -- in the order of drawing
    id text not null unique,
    suffix text not null,
    created real not null,          -- seconds since 1970
    run text not null,              -- name of the run
    family text not null,
    seed integer not null,
    label text,
    caption text not null,
    edit text,
    kind text not null,             -- picture, file, or the name of an extra
    place integer not null,
    is_starred integer not null default 0,
    recipe text not null            -- JSON
);
create index if not exists by_star on pictures (is_starred, number);
create index if not exists by_run on pictures (run, number);
"""
_SHOWN = "id, suffix, created, run, family, seed, label, caption, edit, kind, place, is_starred, recipe"

T = TypeVar("T")


class History:
    """The pictures of a state folder. It is asked in the event loop, and touches the disk in a thread of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        with disk_errors(folder):
            (folder / "images").mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(folder / "history.sqlite", isolation_level=None, check_same_thread=False)
            self._base.execute("pragma journal_mode = wal")
            self._base.execute("pragma synchronous = normal")
            self._base.executescript(_SCHEMA)
        self._thread = ThreadPoolExecutor(1, "history")

    def close(self) -> None:
        self._thread.shutdown()
        self._base.close()

    async def _there(self, act: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, act, *arguments)

    async def keep(self, job: Job, pieces: Sequence[Piece]) -> list[dict[str, Any]]:
        """Keep pictures of a job; what its listeners are told of them."""
        return await self._there(self._keep, job, pieces)

    def _keep(self, job: Job, pieces: Sequence[Piece]) -> list[dict[str, Any]]:
        work, told, rows = job.work, [], []
        for piece in pieces:
            id, row = secrets.token_urlsafe(12), work.rows[min(piece.place, len(work.rows) - 1)]
            self._file(id, piece.suffix).parent.mkdir(exist_ok=True)
            self._file(id, piece.suffix).write_bytes(piece.data)
            classes = work.run.asked.classes
            label = classes[row["label"]] if row["label"] >= 0 else None
            shown = (piece.seed, label, row["caption"], work.facts.get("edit"), piece.kind, piece.place)
            recipe = json.dumps(_recipe(piece), ensure_ascii=False)
            rows.append((id, piece.suffix, time.time(), work.run.name, work.run.family, *shown, 0, recipe))
            facts = {"seed": piece.seed, "place": piece.place, "label": label, "caption": row["caption"]}
            told.append({"id": id, "url": url_of(id, piece.suffix), **facts, "kind": piece.kind})
        marks = ", ".join("?" * len(_SHOWN.split(", ")))
        with self._base:
            self._base.execute("begin")
            self._base.executemany(f"insert into pictures ({_SHOWN}) values ({marks})", rows)
        self._forget_oldest()
        return told

    def _forget_oldest(self) -> None:
        """Of pictures without a star only so many newest stay."""
        spare = "select number from pictures where is_starred = 0 order by number desc limit -1 offset ?"
        old = self._base.execute(
            f"delete from pictures where number in ({spare}) returning id, suffix", (MOST_KEPT,)
        ).fetchall()
        for id, suffix in old:
            self._file(id, suffix).unlink(missing_ok=True)

    def _file(self, id: str, suffix: str) -> Path:
        return self.folder / "images" / id[:2] / f"{id}.{suffix}"

    async def listed(self, offset: int, limit: int, starred: bool, run: str | None) -> dict[str, Any]:
        """A part of the history, newest first, and how many there are in all."""
        return await self._there(self._listed, offset, limit, starred, run)

    def _listed(self, offset: int, limit: int, starred: bool, run: str | None) -> dict[str, Any]:
        conditions = [("is_starred = 1", ())] if starred else []
        conditions += [("run = ?", (run,))] if run is not None else []
        where = " and ".join(text for text, _ in conditions) or "true"
        values = [value for _, each in conditions for value in each]
        (total,) = self._base.execute(f"select count(*) from pictures where {where}", values).fetchone()
        rows = self._base.execute(
            f"select {_SHOWN} from pictures where {where} order by number desc limit ? offset ?",
            [*values, limit, offset],
        )
        return {"total": total, "images": [_shown(row) for row in rows]}

    async def find(self, id: str) -> tuple[Path, str]:
        """The file of an id, and its suffix.

        Raises a Refusal where there is none.
        """
        return (await self.find_all([id]))[0]

    async def find_all(self, ids: Sequence[str]) -> list[tuple[Path, str]]:
        return [await self._there(self._found, id) for id in ids]

    def _found(self, id: str) -> tuple[Path, str]:
        # What is on the disk is named by the row, never by the request.
        row = self._base.execute("select id, suffix from pictures where id = ?", (id,)).fetchone()
        if row is None or not (file := self._file(*row)).is_file():
            raise missing("picture")
        return file, row[1]

    async def star(self, id: str, starred: bool) -> None:
        """Give or take a star.

        Raises a Refusal where there is no such picture.
        """
        await self._change("update pictures set is_starred = ? where id = ? returning id, suffix", int(starred), id)

    async def forget(self, id: str) -> None:
        """Delete a picture; a Refusal where there is none."""
        row = await self._change("delete from pictures where id = ? returning id, suffix", id)
        await self._there(lambda: self._file(*row).unlink(missing_ok=True))

    async def _change(self, sql: str, *values: Any) -> tuple[str, str]:
        rows = await self._there(lambda: self._base.execute(sql, values).fetchall())
        if not rows:
            raise missing("picture")
        return rows[0]


def url_of(id: str, suffix: str) -> str:
    """Where a picture is to be had."""
    return f"/api/images/{id}.{suffix}"


def _shown(row: Sequence[Any]) -> dict[str, Any]:
    facts = dict(zip(_SHOWN.split(", "), row, strict=True))
    url = url_of(facts["id"], facts.pop("suffix"))
    return facts | {"url": url, "is_starred": bool(facts["is_starred"]), "recipe": json.loads(facts["recipe"])}


def _recipe(piece: Piece) -> Mapping[str, Any]:
    """The recipe inside a picture that we drew."""
    try:
        return json.loads(open_picture(piece.data).info[RECIPE_KEY]) if piece.suffix == "png" else {}
    except (Unreadable, KeyError, ValueError):
        return {}
