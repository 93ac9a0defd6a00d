"""The data room: a dataset copied so that it can be shown: faces and chosen regions hidden, and nothing carried along.

The pictures are encoded anew, hashes, thumbnails and digests are taken of what is left to see, and what the dataset had
refused, whose files are the source's own, stays behind. Keys, labels, captions, origins and licences are kept.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from figment.core.config import write_json
from figment.core.errors import ConfigError, DataError, did_you_mean
from figment.core.types import Record
from figment.data.card import describe
from figment.data.chain import Chain
from figment.data.disk import disk_errors
from figment.data.faces import FILLS, Box, Fill, find_faces, hide
from figment.data.figures import measure
from figment.data.index import IS_ACCEPTED, Index, Row
from figment.data.outcome import Outcome, process, write_outcomes
from figment.data.pixels import decode_png
from figment.data.shards import ShardReader
from figment.data.source import CARD, INDEX
from figment.data.store import Store

_GROUP = 1024  # pictures of a shard


@dataclass(frozen=True)
class Protection:
    """What is hidden, and how. regions: boxes by the keys of their pictures, in the dataset's own pixels."""

    faces: bool = True
    fill: Fill = "solid"
    regions: Mapping[str, Sequence[Box]] = field(default_factory=dict)

    def __post_init__(self):
        if self.fill not in FILLS:
            raise ConfigError(f"--fill {self.fill}: not a way to hide{did_you_mean(self.fill, FILLS)}")


def read_regions(path: Path) -> dict[str, list[Box]]:
    """A JSON object: key of a picture -> list of [left, top, width, height].

    Raises DataError for anything else.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        regions = {key: [_box(box) for box in boxes] for key, boxes in said.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        raise DataError(
            f'{path}: expected JSON like {{"cat/1.png": [[left, top, width, height]]}} in whole pixels'
        ) from None
    return regions


def _box(numbers: Sequence[int]) -> Box:
    left, top, width, height = numbers
    if not all(isinstance(number, int) for number in numbers) or min(left, top) < 0 or min(width, height) < 1:
        raise ValueError
    return left, top, width, height


def protect(store: Store, out: Path, protection: Protection, progress: Callable[[int, int], None]) -> Store:
    """Write the dataset, protected, into the folder `out`, which must be new; what it then is.

    Raises DataError where `out` is there already, and for regions of pictures that are not.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is there already; give --out a new folder")
    unknown = sorted(set(protection.regions) - {key for split in store.counts for key in store.keys(split)})
    if unknown:
        raise DataError(f"{store.path}: there is no picture '{unknown[0]}' to hide a region of")
    fresh = out.with_name(out.name + ".tmp")
    with disk_errors(out):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        try:
            _write(store, fresh, protection, progress)
            if out.exists():
                out.rmdir()
            fresh.replace(out)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return Store(out)


def _write(store: Store, root: Path, protection: Protection, progress: Callable[[int, int], None]) -> None:
    done, total = 0, sum(store.counts.values())
    groups: dict[str, str] = {}
    with store.index() as old, Index(root / INDEX) as index, ShardReader(store.path) as shards:
        rows = old.rows(IS_ACCEPTED)
        while found := list(islice(rows, _GROUP)):
            outcomes = [_protected(row, shards, protection) for row in found]
            written = write_outcomes(root, f"shards/{found[0].id:09d}.tar", outcomes)
            with index.transaction():
                index.add(_grouped(written, found, groups))
            done += len(found)
            progress(done, total)
        hidden = {"faces": protection.faces, "fill": protection.fill, "regions": len(protection.regions)}
        with index.transaction():
            index.set_state("recipe", {**old.get_state("recipe"), "protected": hidden})
            if (settings := old.get_state("split")) is not None:
                index.set_state("split", settings)
            card = describe(index)
            index.set_state("card", card)
    write_json(root / CARD, card)


def _protected(row: Row, shards: ShardReader, protection: Protection) -> Outcome:
    """The picture with its faces and regions hidden, as if a source had given it like that."""
    assert row.shard is not None and row.offset is not None and row.length is not None
    try:
        pixels = decode_png(shards.read(row.shard, row.offset, row.length), 2 if row.paired else row.frames)
    except (FileNotFoundError, ValueError):
        raise DataError(f"'{row.key}': {row.shard} is missing or damaged; build the dataset again") from None
    pictures = pixels if pixels.ndim == 4 else pixels[None]
    # Hidden in every frame, and in both halves: a face that is lost for one frame would be seen in that one.
    faces = [box for picture in pictures for box in find_faces(picture)] if protection.faces else []
    regions = list(protection.regions.get(row.key, ()))
    for left, top, width, height in regions:
        if left + width > pictures.shape[2] or top + height > pictures.shape[1]:
            raise DataError(
                f"'{row.key}': the region [{left}, {top}, {width}, {height}] leaves the picture, which is "
                f"{pictures.shape[2]} wide and {pictures.shape[1]} high"
            )
    pixels = hide(pixels, [*faces, *regions], protection.fill, seed=row.id)
    told = [f"{len(boxes)} {name}" for name, boxes in (("faces", faces), ("regions", regions)) if boxes]
    licence = {"licence": row.licence} if row.licence else {}
    record = Record(
        image=pixels[0] if row.paired else pixels,
        pair=pixels[1] if row.paired else None,
        key=row.key,
        label=row.label,
        split=row.source_split,
        attributes=row.attributes,
        captions=row.captions,
        origin={**row.origin, **licence, **({"hidden": " and ".join(told)} if told else {})},
        measured=measure(pixels),
    )
    (outcome,) = process(Chain(()), row.id, [record])
    return replace(outcome, row=replace(outcome.row, split=row.split))


def _grouped(written: Sequence[Row], old: Sequence[Row], groups: dict[str, str]) -> Iterator[Row]:
    """The rows in the groups of duplicates that they were in; a group is named by what its first member is now.

    groups: new names by the old ones; those that are met are added.
    """
    for row, before in zip(written, old, strict=True):
        group = before.duplicate_group
        if group is not None:
            assert row.pixel_digest is not None
            group = groups.setdefault(group, row.pixel_digest)
        yield replace(row, duplicate_group=group)


def hidden_in(store: Store) -> dict[str, np.ndarray]:
    """bool (N,) for each split: in which pictures of a protected dataset something was hidden."""
    with store.index() as index:
        return {
            split: np.array(
                [
                    mark is not None
                    for (mark,) in index.query(
                        f"select json_extract(origin, '$.hidden') from images where {IS_ACCEPTED} and split = ?"
                        " order by id",
                        split,
                    )
                ]
            )
            for split in store.counts
        }
