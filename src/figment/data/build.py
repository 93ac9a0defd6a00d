"""The data room: `figment data build`, from sources through the steps to a dataset.

Pictures are taken in the order of the sources and committed in groups: first the group's shard, whole, then its rows
in one transaction. A build that was killed goes on after the last group; nothing depends on where it was cut, so the
outcome is the same. The steps for the whole dataset come at the end, then the card, last of all.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from figment.core.config import from_json, write_json
from figment.core.durable import make_folder
from figment.core.errors import DataError
from figment.core.types import ImageSpec, Record, Rejected
from figment.data.card import describe, difference, refusals
from figment.data.chain import Chain
from figment.data.disk import disk_errors
from figment.data.index import ACCEPTED, Index, Row
from figment.data.outcome import Outcome, process, source_digest, write_outcomes
from figment.data.plan import DEFAULTS, BuildConfig, Plan, Progress, make_plan, refuse_place
from figment.data.ray_workers import Workers, workers_on
from figment.data.source import CARD, INDEX
from figment.data.store import Store

GROUP_PICTURES = 1024  # committed at once: what a killed build has to do again
GROUP_BYTES = 128 * 2**20
CHUNK_PICTURES = 128  # sent to a worker at once
CHUNK_BYTES = 8 * 2**20

_WAY_OUT = "give --out another folder, or --fresh to build it again"


class NothingUsable(DataError):
    """Every picture of the sources was refused."""


@dataclass(frozen=True)
class DryRun:
    """What a build would make: the pictures' spec, how many in each split, and what it would refuse."""

    spec: ImageSpec
    counts: Mapping[str, int]
    rejected: tuple[Rejected, ...]
    suggested: Mapping[str, int] = field(default_factory=dict)
    """How many more each of the steps would refuse that are off, by the flag that turns it on."""


def build(
    sources: Sequence[str],
    out: str | Path,
    config: BuildConfig = DEFAULTS,
    *,
    progress: Progress | None = None,
    fresh: bool = False,
    on: str = "",
) -> Store:
    """Make a dataset in `out` from sources (paths or name:argument), or go on where a build was interrupted.

    The same build of a finished dataset returns it as it is. progress: called with (pictures done, pictures in all, or
    None where that is not known); before, with those that are looked at to decide the size. fresh: throw away the
    dataset that is there. on: where the steps for single pictures run: "" for processes of this machine, "ray" or
    ray://HOST:PORT for a cluster; the dataset is the same.

    Raises DataError or ConfigError: for a source that is not one, an `out` that holds something else or the dataset of
    another recipe, a full disk, and where no picture could be used.
    """
    workers = workers_on(on)
    plan = make_plan(sources, config, progress)
    out = Path(out)
    with disk_errors(out):
        refuse_place(out, plan)
        if fresh:
            _clear(out)
        if (out / CARD).exists():
            return _unchanged(Store(out), plan)
        try:
            _make(out, plan, workers, progress)
        except NothingUsable:
            _clear(out)  # there is nothing to go on from
            raise
        return Store(out)


def dry_run(
    sources: Sequence[str], config: BuildConfig = DEFAULTS, *, progress: Progress | None = None, on: str = ""
) -> DryRun:
    """What `build` would make of these sources; writes nothing.

    Raises what `build` raises.
    """
    workers = workers_on(on)
    plan = make_plan(sources, config, progress)
    with Index(None) as index:
        index.set_state("recipe", plan.recipe)
        _fill(index, None, plan, workers, progress)
        card = _finish(index, plan)
        rows = index.query("select key, step, reason from images where status = 'rejected' order by id")
        return DryRun(
            from_json(ImageSpec, card["spec"]),
            card["counts"],
            tuple(Rejected(*row) for row in rows),
            _suggested(index, plan),
        )


def _suggested(index: Index, plan: Plan) -> dict[str, int]:
    """What steps that are off by default would refuse at the setting that their files suggest."""
    counts: Counter[str] = Counter()
    judges = plan.chain.idle()
    for (text,) in index.query(f"select quality {ACCEPTED}"):
        looks = json.loads(text)
        counts.update(flag for flag, judge in judges.items() if judge(looks))
    selections = plan.chain.idle_selections()
    counts.update({flag: sum(1 for _ in select(index)) for flag, select in selections.items()})
    return {flag: counts[flag] for flag in (*judges, *selections) if counts[flag]}


def _unchanged(store: Store, plan: Plan) -> Store:
    """A finished dataset, if the plan would make the same again."""
    if change := difference(store.card["recipe"], plan.recipe):
        raise DataError(f"{store.path}: is a dataset of another recipe ({change}); {_WAY_OUT}")
    num_pictures = sum(store.counts.values()) + sum(store.card["rejected"].values())
    if plan.total not in (None, num_pictures):
        raise DataError(
            f"{store.path}: was made of {num_pictures:,} pictures, and now there are {plan.total:,}; {_WAY_OUT}"
        )
    return store


def _make(out: Path, plan: Plan, workers: Workers, progress: Progress | None) -> None:
    """Build into a new folder, or go on in one that an interrupted build left."""
    make_folder(out)
    with Index(out / INDEX) as index:
        index.lock()
        if index.get_state("recipe") is None:
            _remove_parts(out)  # of a dataset that was being cleared when that was cut short
        # Steps for the whole dataset come last, so that until then their settings may still be changed.
        if change := difference(index.get_state("early_recipe") or plan.early_recipe, plan.early_recipe):
            raise DataError(f"{out}: holds an unfinished build of another recipe ({change}); {_WAY_OUT}")
        index.set_state("early_recipe", plan.early_recipe)
        index.set_state("recipe", plan.recipe)
        _fill(index, out, plan, workers, progress)
        card = _finish(index, plan)
    write_json(out / CARD, card)


def _fill(index: Index, root: Path | None, plan: Plan, workers: Workers, progress: Progress | None) -> None:
    """Run the steps for single pictures on all that is not in the index yet; write shards where there is a root."""
    records = plan.records()
    done = _skip_committed(index, records)
    group: list[Outcome] = []
    num_bytes = 0
    # Closed, so that its processes end at once, whatever happens here.
    with closing(workers(partial(_work, plan.chain), _chunks(records, done))) as answers:
        for outcomes in answers:
            for outcome in outcomes:
                group.append(outcome)
                num_bytes += len(outcome.members)
                if len(group) >= GROUP_PICTURES or num_bytes >= GROUP_BYTES:
                    _commit(index, root, group)
                    group, num_bytes = [], 0
            done += len(outcomes)
            if progress:
                progress(done, plan.total)
    if group:
        _commit(index, root, group)


def _work(chain: Chain, chunk: tuple[int, list[Record | Rejected]]) -> list[Outcome]:
    return process(chain, *chunk)


def _chunks(records: Iterable[Record | Rejected], first_id: int) -> Iterator[tuple[int, list[Record | Rejected]]]:
    """(id of the first, records) in lists limited in number and in bytes, so that large pictures do not pile up."""
    chunk: list[Record | Rejected] = []
    num_bytes = 0
    for record in records:
        chunk.append(record)
        if isinstance(record, Record):
            num_bytes += sum(_num_bytes(half) for half in (record.image, record.pair) if half is not None)
        if len(chunk) >= CHUNK_PICTURES or num_bytes >= CHUNK_BYTES:
            yield first_id, chunk
            first_id, chunk, num_bytes = first_id + len(chunk), [], 0
    if chunk:
        yield first_id, chunk


def _num_bytes(image: bytes | np.ndarray) -> int:
    return len(image) if isinstance(image, bytes) else image.nbytes


def _skip_committed(index: Index, records: Iterator[Record | Rejected]) -> int:
    """Move the records past those that an earlier build committed; how many those were.

    Raises DataError where they are not the same as then.
    """
    number = 0
    for id, key, file_digest in index.query("select id, key, file_digest from images order by id"):
        record = next(records, None)
        now = source_digest(record) if isinstance(record, Record) else None
        if record is None or now != file_digest or key not in (record.key, _other_key(record.key, id)):
            raise DataError(f"the source has changed at '{key}' since this build was interrupted; {_WAY_OUT}")
        number += 1
    return number


def _commit(index: Index, root: Path | None, group: Sequence[Outcome]) -> None:
    """Write a group's shards, then its rows. Shards are named by the first id, so doing it again overwrites them."""
    name = f"{group[0].row.id:09d}.tar"
    rows: list[Row] = []
    for status, folder in (("accepted", "shards"), ("rejected", "rejected")):
        outcomes = [outcome for outcome in group if outcome.row.status == status]
        rows += write_outcomes(root, f"{folder}/{name}", outcomes)
    with index.transaction():
        index.add(list(_unique(index, sorted(rows, key=lambda row: row.id))))


def _unique(index: Index, rows: Iterable[Row]) -> Iterator[Row]:
    """The rows, the later of two with one key under another; archives may hold a name twice."""
    seen: set[str] = set()
    for row in rows:
        is_taken = row.key in seen or index.value("select 1 from images where key = ?", row.key)
        key = _other_key(row.key, row.id) if is_taken else row.key
        seen.add(key)
        yield replace(row, key=key)


def _other_key(key: str, id: int) -> str:
    return f"{key}#{id}"


def _finish(index: Index, plan: Plan) -> dict[str, Any]:
    """Run the steps for the whole dataset and write the card into the index, all in one transaction; the card.

    Raises NothingUsable where every picture was refused.
    """
    if not index.value(f"select count(*) {ACCEPTED}"):
        number = index.value("select count(*) from images")
        raise NothingUsable(f"none of {number:,} pictures could be used: {refusals(index)}; give other pictures")
    with index.transaction():
        plan.chain.select(index)
        index.settle_splits()
        card = describe(index)
        index.set_state("card", card)
    return card


def _clear(out: Path) -> None:
    """Empty a dataset, and remove nothing that figment did not write; a build finds it as if it were new.

    An empty index takes the old one's place in one move. Killed before that, the dataset is there, or unfinished;
    killed after, what is left over is removed by the next build.
    """
    if not (out / INDEX).exists() and not (out / CARD).exists():
        return
    try:
        with Index(out / INDEX) as index:
            index.lock()  # not while another build is at work
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        pass  # damaged, which is why it is to be cleared
    (out / CARD).unlink(missing_ok=True)
    fresh = out / f"{INDEX}.tmp"
    fresh.unlink(missing_ok=True)
    with Index(fresh):
        pass
    for journal in (f"{INDEX}-wal", f"{INDEX}-shm"):
        (out / journal).unlink(missing_ok=True)
    fresh.replace(out / INDEX)
    _remove_parts(out)


def _remove_parts(out: Path) -> None:
    """Remove all that belongs to a dataset beside its index."""
    for name in ("shards", "rejected", "cache", "judges"):
        if (out / name).exists():
            shutil.rmtree(out / name)
    (out / "report.html").unlink(missing_ok=True)
