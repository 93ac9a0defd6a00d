"""The data room: what became of a record, as a row for the index and bytes for a shard."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from figment.core.types import Record, Rejected
from figment.data.chain import Chain
from figment.data.index import Row
from figment.data.layout import PICTURE_SUFFIXES
from figment.data.pixels import digest, encode_png
from figment.data.shards import BLOCK_BYTES, tar_member, write_shard

MAX_KEPT_BYTES = 64 * 2**20  # of a refused file; a larger one keeps its row only


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a record: its row for the index, and its bytes for a shard (none where members is empty).

    row.offset counts from the start of `members`; row.shard is left to who writes it.
    """

    row: Row
    members: bytes


def process(chain: Chain, first_id: int, records: Sequence[Record | Rejected]) -> list[Outcome]:
    """Run the steps for one picture on some records in a row. Pure, so it runs in any process."""
    return [_outcome(chain, first_id + place, record) for place, record in enumerate(records)]


def _outcome(chain: Chain, id: int, record: Record | Rejected) -> Outcome:
    if isinstance(record, Rejected):
        return Outcome(Row(id, record.key, "rejected", record.step, record.reason), b"")
    if record.pair is not None:
        result: Record | Rejected = Rejected(record.key, "store", "is a pair; a dataset holds single pictures")
    else:
        result = chain.mend(record)
    row = _row(id, record)
    return _refused(row, record, result) if isinstance(result, Rejected) else _accepted(row, result)


def _row(id: int, record: Record) -> Row:
    """What the source says of a picture."""
    return Row(
        id,
        record.key,
        "accepted",
        file_digest=source_digest(record),
        label=record.label,
        attributes=dict(record.attributes),
        captions=record.captions,
        source_split=record.split,
        origin={name: value for name, value in record.origin.items() if name != "licence"},
        licence=record.origin.get("licence"),
    )


def source_digest(record: Record) -> str:
    """SHA-256 of a record's file, or of its pixels where the source gives pixels."""
    return hashlib.sha256(record.image).hexdigest() if isinstance(record.image, bytes) else digest(record.image)


def _accepted(row: Row, record: Record) -> Outcome:
    assert isinstance(record.image, np.ndarray)  # decode cannot be skipped
    height, width, channels = record.image.shape
    png = encode_png(record.image)
    row = replace(
        row,
        offset=BLOCK_BYTES,
        length=len(png),
        pixel_digest=digest(record.image),
        height=height,
        width=width,
        channels=channels,
        quality=_quality(record),
        origin={name: value for name, value in record.origin.items() if name != "licence"},
    )
    return Outcome(row, _members(row, ".png", png, {"label": row.label, "split": row.source_split}))


def _quality(record: Record) -> dict[str, Any]:
    """mean and deviation: of each channel, 0..255. scale: above 1 where it was enlarged."""
    pixels = np.asarray(record.image)
    height, width = (int(side) for side in record.origin["size"].split("x"))
    return {
        "mean": [round(float(value), 4) for value in pixels.mean((0, 1))],
        "deviation": [round(float(value), 4) for value in pixels.std((0, 1))],
        "scale": round(max(pixels.shape[0] / height, pixels.shape[1] / width), 4),
    }


def _refused(row: Row, record: Record, why: Rejected) -> Outcome:
    row = replace(row, status="rejected", step=why.step, reason=why.reason)
    if isinstance(record.image, bytes):
        content, suffix = record.image, PurePosixPath(record.key).suffix.lower()
    elif record.image.dtype == np.uint8 and record.image.ndim == 3 and record.image.shape[2] in (1, 3, 4):
        content, suffix = encode_png(record.image), ".png"
    else:
        return Outcome(row, b"")
    if not 0 < len(content) <= MAX_KEPT_BYTES:
        return Outcome(row, b"")
    row = replace(row, offset=BLOCK_BYTES, length=len(content))
    suffix = suffix if suffix in PICTURE_SUFFIXES else ".bin"
    return Outcome(row, _members(row, suffix, content, {"step": why.step, "reason": why.reason}))


def _members(row: Row, suffix: str, content: bytes, about: Mapping[str, Any]) -> bytes:
    """A picture and, beside it, what was known when it was written, for readers that have no index."""
    known = {"key": row.key, **about, "origin": row.origin, "licence": row.licence}
    text = json.dumps({name: value for name, value in known.items() if value is not None}, ensure_ascii=False)
    return tar_member(f"{row.id:09d}{suffix}", content) + tar_member(f"{row.id:09d}.json", text.encode())


def write_outcomes(root: Path | None, shard: str, outcomes: Sequence[Outcome]) -> list[Row]:
    """Write outcomes into one shard of the dataset in `root` (nowhere for None); their rows, which then point into it.

    An outcome without bytes has a row that points nowhere. Where none has any, no shard is written.
    """
    rows, start = [], 0
    for outcome in outcomes:
        if outcome.members:
            rows.append(replace(outcome.row, shard=shard, offset=start + (outcome.row.offset or 0)))
        else:
            rows.append(outcome.row)
        start += len(outcome.members)
    if root is not None and start:
        write_shard(root / shard, [outcome.members for outcome in outcomes])
    return rows
