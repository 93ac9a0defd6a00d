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
from figment.data.pixels import digest, encode_png, to_channels
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
    result = _mended(chain, record)
    row = _row(id, record)
    return _refused(row, record, result) if isinstance(result, Rejected) else _accepted(row, result)


def _mended(chain: Chain, record: Record) -> Record | Rejected:
    """The record after the steps; of a pair both halves, one above the other: uint8 (2, H, W, C)."""
    result = chain.mend(replace(record, pair=None))
    if record.pair is None or isinstance(result, Rejected):
        return result
    other = chain.mend(replace(record, image=record.pair, pair=None))
    if isinstance(other, Rejected):
        return replace(other, reason=f"its other half: {other.reason}")
    halves = [np.asarray(half.image) for half in (result, other)]
    if halves[0].ndim != 3 or halves[0].shape[:2] != halves[1].shape[:2]:
        return Rejected(record.key, "store", "its halves are not two pictures of one size; do not skip resize_crop")
    channels = max(half.shape[2] for half in halves)
    return replace(result, image=np.stack([to_channels(half, channels) for half in halves]))


def _row(id: int, record: Record) -> Row:
    """What the source says of a picture."""
    return Row(
        id,
        record.key,
        "accepted",
        file_digest=source_digest(record),
        label=record.label,
        attributes=dict(record.attributes),
        frames=1 if isinstance(record.image, bytes) or record.image.ndim < 4 else len(record.image),
        paired=int(record.pair is not None),
        captions=record.captions,
        source_split=record.split,
        origin={name: value for name, value in record.origin.items() if name != "licence"},
        licence=record.origin.get("licence"),
    )


def source_digest(record: Record) -> str:
    """SHA-256 of a record's file, or of its pixels where the source gives pixels; of a pair that of both digests."""
    if record.pair is not None:
        halves = (record, replace(record, image=record.pair))
        return hashlib.sha256("".join(source_digest(replace(half, pair=None)) for half in halves).encode()).hexdigest()
    return hashlib.sha256(record.image).hexdigest() if isinstance(record.image, bytes) else digest(record.image)


def _accepted(row: Row, record: Record) -> Outcome:
    assert isinstance(record.image, np.ndarray)  # decode cannot be skipped
    height, width, channels = record.image.shape[-3:]
    png = encode_png(record.image)
    row = replace(
        row,
        offset=BLOCK_BYTES,
        length=len(png),
        pixel_digest=digest(record.image),
        height=height,
        width=width,
        channels=channels,
        frames=len(record.image) if record.image.ndim == 4 and not row.paired else 1,
        quality=_quality(record),
        hashes=None if row.paired else record.measured.hashes,  # halves may be copies and the pairs not
        thumbnail=None if row.paired else record.measured.thumbnail,
        origin={name: value for name, value in record.origin.items() if name != "licence"},
    )
    return Outcome(row, _members(row, ".png", png, _known(row)))


def _known(row: Row) -> dict[str, Any]:
    """What a picture shows and how its file is to be read, as far as there is something to say."""
    layout = {"frames": row.frames if row.frames > 1 else None, "paired": True if row.paired else None}
    said = {"attributes": dict(row.attributes) or None, "captions": list(row.captions) or None}
    return {"label": row.label, "split": row.source_split, **said, **layout}


def _quality(record: Record) -> dict[str, Any]:
    """Its looks when it was decoded. mean, deviation: of each channel at the end. scale: above 1 if enlarged."""
    pixels = np.asarray(record.image)
    values = pixels.reshape(-1, pixels.shape[-1])
    height, width = (int(side) for side in record.origin["size"].split("x"))
    return {
        **record.measured.looks,
        "mean": [round(float(value), 4) for value in values.mean(0)],
        "deviation": [round(float(value), 4) for value in values.std(0)],
        "scale": round(max(pixels.shape[-3] / height, pixels.shape[-2] / width), 4),
    }


def _refused(row: Row, record: Record, why: Rejected) -> Outcome:
    row = replace(row, status="rejected", step=why.step, reason=why.reason)
    if isinstance(record.image, bytes):
        content, suffix = record.image, PurePosixPath(record.key).suffix.lower()
    elif _is_drawable(record.image):
        content, suffix = encode_png(record.image), ".png"
    else:
        return Outcome(row, b"")
    if not 0 < len(content) <= MAX_KEPT_BYTES:
        return Outcome(row, b"")
    row = replace(row, offset=BLOCK_BYTES, length=len(content))
    suffix = suffix if suffix in PICTURE_SUFFIXES else ".bin"
    return Outcome(row, _members(row, suffix, content, {"step": why.step, "reason": why.reason}))


def _is_drawable(pixels: np.ndarray) -> bool:
    return pixels.dtype == np.uint8 and pixels.ndim in (3, 4) and pixels.shape[-1] in (1, 3, 4) and pixels.size > 0


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
