"""The page of a dataset: gather what its index and shards hold into the arguments of the page, without torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from figment.core.errors import DataError
from figment.core.images import encode_png, grid
from figment.data.index import ACCEPTED, Index
from figment.data.pixels import decode_png, to_channels
from figment.data.shards import ShardReader
from figment.data.source import INDEX
from figment.data.store import Store, spread_rows
from figment.pages.data_report import Histogram, Sheet, write

SHEET = 48  # pictures on a contact sheet, at most
SHOWN = 480  # pictures of a split on all its sheets: the page takes a second, however large the dataset is
MOST_SHEETS = 40  # of a split; with more classes than that they share one


def write_data_report(path: Path, store: Store) -> None:
    """The report of a dataset: what it holds, what it looks like, what it refused.

    Raises DataError where a picture that it shows is missing or damaged.
    """
    with Index(store.path / INDEX) as index, ShardReader(store.path) as shards:
        counts, edges = np.histogram(list(_brightness(index)), bins=32, range=(0, 255))
        write(
            path,
            title=store.path.resolve().name,
            card=store.card,
            sheets=[
                *(sheet for split in store.counts for sheet in _sheets(store, split, index, shards)),
                *_leaks(store, index, shards),
            ],
            histograms=[Histogram("Brightness", "mean grey level", edges.tolist(), counts.tolist())],
            balance=store.card["balance"],
            rejected=store.rejected(),
        )


def _brightness(index: Index) -> Iterator[float]:
    """The mean of each picture's colours, 0..255, as the build measured them."""
    for (mean,) in index.query(f"select json_extract(quality, '$.mean') {ACCEPTED}"):
        colours = json.loads(mean)[:3]  # and no alpha
        yield sum(colours) / len(colours)


def _sheets(store: Store, split: str, index: Index, shards: ShardReader) -> Iterator[Sheet]:
    """A contact sheet for every class of a split, or one for the split: pictures spread evenly over what there is."""
    found = list(index.query(f"select label, shard, offset, length {ACCEPTED} and split = ? order by label, id", split))
    groups = {name: [place for label, *place in found if label == name] for name in store.spec.classes}
    if not 0 < len(groups) <= MOST_SHEETS:
        groups = {split: [place for _, *place in found]}
    for title, places in groups.items():
        if places:
            rows = spread_rows(len(places), min(SHEET, SHOWN // len(groups)))
            pictures = [_picture(store, shards, *places[row]) for row in rows]
            yield Sheet(title, encode_png(grid(np.stack(pictures), 12)), group=split, count=len(places))


def _leaks(store: Store, index: Index, shards: ShardReader) -> Iterator[Sheet]:
    """Held-out pictures and, beside each, its copy on the training side."""
    pairs = store.card.get("leaks", {}).get("pairs", {})
    pictures = []
    for copy, held_out in list(pairs.items())[: SHEET // 2]:
        for key in (held_out, copy):
            place = next(index.query("select shard, offset, length from images where key = ?", key))
            pictures.append(_picture(store, shards, *place))
    if pictures:
        note = "side by side: the held-out picture, then its copy"
        yield Sheet(
            "Copies across the source's own split", encode_png(grid(np.stack(pictures), 12)), "Leaks", note=note
        )


def _picture(store: Store, shards: ShardReader, shard: str, offset: int, length: int) -> np.ndarray:
    """uint8 (H, W, C) or (T, H, W, C), read from its shard: few are shown, and a map of all takes long to make."""
    try:
        return to_channels(decode_png(shards.read(shard, offset, length), store.spec.frames), store.spec.channels)
    except (FileNotFoundError, ValueError):
        raise DataError(f"{store.path / shard}: missing or damaged; build the dataset again with --fresh") from None
