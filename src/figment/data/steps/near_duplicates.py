"""Refuse near duplicates: pictures that were scaled, compressed, cropped a little, made grey or mirrored from another.

Part of the data room. Candidates are found by a hash of the looks (`figment.data.hashing`), all of them, and then
verified by thumbnails. The best picture of a group is kept: one held out for testing before one for training, then
the larger, then the sharper, then the first. Only what is like the kept picture itself is refused, so that a chain of
small changes never swallows unlike pictures. What is kept of such a chain is never divided by a split. Pictures with a
side below 32, plain ones and drawings of few values, sequences and pairs are compared by `exact_duplicates` alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from figment.core.config import check_range
from figment.core.types import Rejected
from figment.data.figures import THUMBNAIL
from figment.data.hashing import BITS, alike, inner
from figment.data.index import ACCEPTED, Index
from figment.data.pixels import to_channels

ORDER = 70
GLOBAL = True

_AT_ONCE = 1 << 14  # pairs of thumbnails compared at once

Change = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Config:
    """What counts as the same picture."""

    bits: int = 31
    """Most bits, of 256, in which the hashes of two copies differ; more finds more and takes longer."""
    likeness: float = 0.96
    """Least correlation of the thumbnails of two copies; 1 for none but equal ones."""
    mirrors: bool = True
    """Count mirror images as copies."""

    def __post_init__(self):
        check_range("near_duplicates.bits", self.bits, 0, 63)
        check_range("near_duplicates.likeness", self.likeness, 0.5, 1)


def select(index: Index, config: Config) -> Iterable[Rejected]:
    """One Rejected for every copy; writes the duplicate groups of all that is accepted into the index."""
    index.connection.execute("update images set duplicate_group = null")
    order = (
        "case source_split when 'test' then 0 when 'val' then 1 else 2 end,"
        " json_extract(quality, '$.side') desc, json_extract(quality, '$.sharpness') desc, id"
    )
    found = list(index.query(f"select id, hashes {ACCEPTED} and hashes is not null order by {order}"))
    if not found:
        return []
    ids = [id for id, _ in found]
    pairs = _verified(index, ids, np.frombuffer(b"".join(one for _, one in found), np.uint8), config)
    _write_groups(index, ids, pairs)
    return _refusals(index, ids, pairs)


def _verified(index: Index, ids: Sequence[int], hashes: np.ndarray, config: Config) -> dict[tuple[int, int], str]:
    """(better, worse) row of every pair of copies -> what the worse or the better one is of the other."""
    plain, mirrored, cropped = np.ascontiguousarray(hashes.reshape(len(ids), 3, BITS // 8).swapaxes(0, 1))
    ways = [("near duplicate", plain, np.asarray), ("cropped copy", cropped, inner)]
    ways += [("mirror image", mirrored, np.fliplr)] if config.mirrors else []
    pairs: dict[tuple[int, int], str] = {}
    for what, queries, change in ways:
        for candidates in alike(queries, plain, config.bits):
            for start in range(0, len(candidates), _AT_ONCE):
                part = candidates[start : start + _AT_ONCE, :2]
                for pair in part[_likeness(index, ids, part, change) >= config.likeness].tolist():
                    pairs.setdefault((min(pair), max(pair)), what)
    return pairs


def _likeness(index: Index, ids: Sequence[int], pairs: np.ndarray, change: Change) -> np.ndarray:
    """float32 (M,): correlation of the thumbnails of int64 (M, 2) pairs of rows, the first of each changed.

    In colour where both have it.
    """
    rows = np.unique(pairs)
    thumbnails = {row: _thumbnail(index, ids[row]) for row in rows.tolist()}
    answer = np.empty(len(pairs), np.float32)
    for place, (left, right) in enumerate(pairs.tolist()):
        one, other = thumbnails[left], thumbnails[right]
        channels = min(one.shape[2], other.shape[2])
        one = to_channels(change(one), channels)
        answer[place] = _correlation(one, to_channels(other, channels))
    return answer


def _thumbnail(index: Index, id: int) -> np.ndarray:
    content = index.value("select thumbnail from images where id = ?", id)
    return np.frombuffer(content, np.uint8).reshape(THUMBNAIL, THUMBNAIL, -1)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of all values, whatever their mean and spread; colours count, because the mean is that of all channels."""
    a, b = (values.astype(np.float32).ravel() - values.mean(dtype=np.float32) for values in (one, other))
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread else 0.0


def _write_groups(index: Index, ids: Sequence[int], pairs: Iterable[tuple[int, int]]) -> None:
    """Name each group, whole chains of pairs, by the pixel digest of its oldest member.

    The split is drawn by that name, so that a group stays on its side when pictures are added to it.
    """
    leaders: dict[int, int] = {}

    def leader(row: int) -> int:
        while (above := leaders.setdefault(row, row)) != row:
            leaders[row] = row = leaders[above]
        return row

    for left, right in pairs:
        leaders[leader(left)] = leader(right)
    members: Mapping[int, list[int]] = defaultdict(list)
    for row in leaders:
        members[leader(row)].append(ids[row])
    for group in members.values():
        digest = index.value("select pixel_digest from images where id = ?", min(group))
        index.connection.executemany(
            "update images set duplicate_group = ? where id = ?", [(digest, id) for id in sorted(group)]
        )


def _refusals(index: Index, ids: Sequence[int], pairs: Mapping[tuple[int, int], str]) -> Iterator[Rejected]:
    """Star cover: from the best to the worst, a picture is kept unless it is like one that is kept already."""
    better: dict[int, list[int]] = defaultdict(list)
    for left, right in pairs:
        better[right].append(left)
    refused: set[int] = set()
    for row in sorted(better):
        kept = next((one for one in sorted(better[row]) if one not in refused), None)
        if kept is None:
            continue
        refused.add(row)
        (key, label), (kept_key, kept_label) = (
            next(index.query("select key, label from images where id = ?", ids[one])) for one in (row, kept)
        )
        other = "" if label == kept_label else f", which is labelled '{kept_label}' and not '{label}'"
        yield Rejected(key, "near_duplicates", f"{pairs[kept, row]} of {kept_key}{other}")
