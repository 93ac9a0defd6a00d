"""The data room: refused pictures taken in after all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from figment.core.errors import DataError
from figment.core.types import Record
from figment.data.chain import chain_from_json
from figment.data.index import Index, Row
from figment.data.outcome import Outcome, process, write_outcomes
from figment.data.pixels import decode_png
from figment.data.shards import ShardReader


def restore(root: Path, index: Index, keys: Sequence[str]) -> None:
    """Accept refused pictures of the dataset in `root`; they still need a split and the dataset a new card.

    A picture that a step refused for its looks passes the chain again without that step, into a shard of its own. One
    that was refused by comparison with the others, as a duplicate, is in a shard already.

    Raises DataError where one was not refused, cannot be decoded, or is refused by another step too.
    """
    rows = [_refused_row(index, key) for key in dict.fromkeys(keys)]
    again: list[Outcome] = []
    restored: list[Row] = []
    for row in rows:
        if row.pixel_digest is not None:
            restored.append(replace(row, status="accepted", step=None, reason=None, origin=_origin(row)))
        else:
            again.append(_again(root, index, row))
    if again:
        restored += write_outcomes(root, f"shards/restored-{again[0].row.id:09d}.tar", again)
    index.replace(restored)
    index.settle_splits()


def _refused_row(index: Index, key: str) -> Row:
    row = next(index.rows("key = ?", key), None)
    if row is None:
        raise DataError(f"there is no picture '{key}'; index.sqlite lists the keys")
    if row.status == "accepted":
        raise DataError(f"'{key}' was not refused: there is nothing to restore")
    if row.shard is None or row.step == "decode":
        raise DataError(f"'{key}' cannot be restored, because it cannot be read ({row.step}: {row.reason})")
    if row.paired and row.pixel_digest is None:
        raise DataError(f"'{key}' cannot be restored, because of a refused pair only one half was kept; build again")
    return row


def _again(root: Path, index: Index, row: Row) -> Outcome:
    """The outcome of the chain without the step that refused the picture."""
    assert row.shard is not None and row.offset is not None and row.length is not None and row.step is not None
    with ShardReader(root) as shards:
        content = shards.read(row.shard, row.offset, row.length)
    record = Record(
        image=content if row.frames == 1 else decode_png(content, row.frames),
        key=row.key,
        label=row.label,
        split=row.source_split,
        attributes=row.attributes,
        captions=row.captions,
        origin=_origin(row) | ({"licence": row.licence} if row.licence else {}),
    )
    chain = chain_from_json(index.get_state("recipe")["steps"])
    (outcome,) = process(chain.without(row.step), row.id, [record])
    if outcome.row.status == "rejected":
        raise DataError(f"'{row.key}' is refused by {outcome.row.step} too: {outcome.row.reason}")
    return Outcome(replace(outcome.row, file_digest=row.file_digest), outcome.members)


def _origin(row: Row) -> dict[str, str]:
    return {**row.origin, "restored": f"{row.step}: {row.reason}"}
