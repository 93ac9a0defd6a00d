"""The data room: a dataset on disk, as training, scoring and pages see it.

    DATASET/shards/*.tar     the pixels after all steps, as PNG       DATASET/index.sqlite   a row for every picture
    DATASET/rejected/*.tar   what was refused                         DATASET/card.json      the summary, written last
    DATASET/cache/*.uint8    the decoded pixels, made when first used

Pictures, labels, attributes, captions and keys of a split come in one and the same order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from figment.core.config import from_json, to_json, unstamped, write_json
from figment.core.errors import ConfigError, DataError, did_you_mean
from figment.core.types import ImageSpec, Rejected
from figment.data import cache
from figment.data.card import FORMAT, LATE, SPLITS, describe, label_digest, pixel_digest
from figment.data.chain import Chain, chain_from_json
from figment.data.disk import damaged, disk_errors
from figment.data.index import ACCEPTED, Index
from figment.data.pixels import shows
from figment.data.restoring import restore
from figment.data.sealing import is_sealed
from figment.data.shards import ShardReader
from figment.data.source import CARD, INDEX

_NONE: Mapping[str, Any] = MappingProxyType({})


class Store:
    """A finished dataset.

    Raises DataError where `path` holds none, telling what to type instead.
    """

    _is_checked = False

    def __init__(self, path: str | Path):
        self.path = Path(path)
        _require_dataset(self.path)
        self.card = self._read_card()

    def __repr__(self) -> str:
        return f"Store('{self.path}': {sum(self.counts.values()):,} pictures, {self.spec})"

    def _read_card(self) -> dict[str, Any]:
        with self._index() as index, self._sense():
            card = describe(index) if index.get_state(LATE) else index.get_state("card")
            if card["format"] > FORMAT:
                raise DataError(
                    f"{self.path}: was made by figment {card['figment']}, later than this one; update figment"
                )
            unstamped(self.path / INDEX, card)
            from_json(ImageSpec, card["spec"], CARD)
        return card

    def _check(self) -> None:
        """Once, compare what the index says of its pictures with the digests of its card.

        Raises DataError where it differs: SQLite itself notices damage of its structure only.
        """
        if self._is_checked:
            return
        with self._index() as index, self._sense():
            index.connection.execute("begin")  # card and rows of one and the same moment
            if not index.get_state(LATE):
                card = index.get_state("card")
                found = pixel_digest(index, from_json(ImageSpec, card["spec"], CARD)), label_digest(index)
                if found != (card["pixel_digest"], card["label_digest"]):
                    raise ValueError("its rows differ from the digests in its card")
        self._is_checked = True

    @contextmanager
    def _sense(self) -> Iterator[None]:
        """Raise DataError where what the index says makes no sense."""
        try:
            yield
        except ConfigError:
            raise DataError(damaged(self.path, "its card differs from its own SHA-256")) from None
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise DataError(damaged(self.path, error)) from None

    @property
    def spec(self) -> ImageSpec:
        """What the pictures are, and so what a model must take and give."""
        return from_json(ImageSpec, self.card["spec"], CARD)

    @property
    def counts(self) -> dict[str, int]:
        """Pictures in each split that has some."""
        return self.card["counts"]

    @property
    def pixel_digest(self) -> str:
        """SHA-256 of all pixels and their splits: changes when a picture comes, goes, or changes sides."""
        return self.card["pixel_digest"]

    @property
    def label_digest(self) -> str:
        """SHA-256 of all labels, attributes and captions, with the keys and splits of their pictures."""
        return self.card["label_digest"]

    @property
    def held_out(self) -> str:
        """The split that scores are measured on: "test" where there is one, else "val"."""
        return "test" if "test" in self.counts else "val"

    def images(self, split: str) -> np.ndarray:
        """uint8 (N, H, W, C) or (N, T, H, W, C), read-only, from a memory map, which the first call makes.

        Of pairs, the first halves.
        """
        return self._rows(split)[:, 0] if self.spec.paired else self._rows(split)

    def pairs(self, split: str) -> np.ndarray:
        """uint8 (N, H, W, C), read-only: the other halves of pairs.

        Raises DataError where the dataset holds single pictures.
        """
        if not self.spec.paired:
            raise DataError(f"{self.path}: holds no pairs; build it from a source that brings a second picture")
        return self._rows(split)[:, 1]

    def labels(self, split: str) -> np.ndarray:
        """int64 (N,): each picture's place in spec.classes, -1 where it has no label."""
        places = {name: place for place, name in enumerate(self.spec.classes)}
        return np.array([places.get(label, -1) for label in self._column("label", split)], np.int64)

    def attributes(self, split: str) -> np.ndarray:
        """float32 (N, A), in the order of spec.attributes; NaN where a picture has none of that name."""
        names = self.spec.attributes
        values = [
            [given.get(name, np.nan) for name in names] for given in map(json.loads, self._column("attributes", split))
        ]
        return np.array(values, np.float32).reshape(len(values), len(names))

    def captions(self, split: str) -> list[tuple[str, ...]]:
        """The captions of each picture, maybe none."""
        return [tuple(json.loads(captions)) for captions in self._column("captions", split)]

    def keys(self, split: str) -> list[str]:
        """The name of each picture, unique in the dataset."""
        return self._column("key", split)

    def rejected(self) -> list[Rejected]:
        """Every refused picture with its reason, in the order of the sources."""
        with self._index() as index:
            rows = index.query("select key, step, reason from images where status = 'rejected' order by id")
            return [Rejected(*row) for row in rows]

    def encoded(self, key: str) -> bytes:
        """The PNG of a picture after all steps, or the source's own file where one of them refused it.

        Raises DataError for an unknown key, or where no bytes were kept.
        """
        with self._index() as index:
            sql = "select shard, offset, length, pixel_digest, frames, paired from images where key = ?"
            found = next(index.query(sql, key), None)
        if found is None or found[0] is None:
            raise DataError(f"{self.path}: {'no bytes were kept of' if found else 'there is no picture'} '{key}'")
        shard, offset, length, pixel_digest, frames, paired = found
        with disk_errors(self.path), ShardReader(self.path) as shards:
            content = shards.read(shard, offset, length)
        if pixel_digest is not None and not shows(content, pixel_digest, 2 if paired else frames):
            raise DataError(f"{self.path / shard}: damaged at '{key}'; build the dataset again with --fresh")
        return content

    def proposed(self, split: str) -> np.ndarray:
        """bool (N,): whether a picture's label was proposed by a model, and nobody has confirmed it."""
        marks = self._column("json_extract(origin, '$.proposed')", split)
        return np.array([mark is not None for mark in marks], bool)

    def relabel(
        self, labels: Mapping[str, str | None], confidences: Mapping[str, float] = MappingProxyType({})
    ) -> None:
        """Give pictures, by their keys, other labels; None takes a label away. All or none is changed.

        confidences: of labels that a model proposed, in [0, 1]; each is kept in its picture's origin, as "proposed". A
        label without one is a person's word.

        Raises DataError for an unknown key.
        """
        with self._edit() as index:
            for key, label in labels.items():
                mark = f"{confidences[key]:.4f}" if key in confidences else None
                changed = index.connection.execute(
                    "update images set label = ?1, origin = iif(?2 is null, json_remove(origin, '$.proposed'),"
                    " json_set(origin, '$.proposed', ?2)) where key = ?3",
                    (label, mark, key),
                )
                if not changed.rowcount:
                    raise DataError(f"{self.path}: there is no picture '{key}'; keys are listed by index.sqlite")

    def resplit(self, config: Any) -> None:
        """Draw the splits anew, with the Config of the `split` step. Splits that the source brought stay.

        Raises ConfigError where a share is asked for of a split that the source brought.
        """
        with self._edit() as index:
            index.set_state("split", to_json(config))
            _splitting(index).select(index)

    def note_margins(self, margins: Mapping[str, float]) -> None:
        """Keep how sure a judge is of pictures, by their keys, in their origin as "margin".

        margins: how much likelier its first label is than its second, in [0, 1].
        """
        with self._edit() as index:
            index.connection.executemany(
                "update images set origin = json_set(origin, '$.margin', ?) where key = ?",
                [(f"{margin:.4f}", key) for key, margin in margins.items()],
            )

    def refuse(self, refused: Iterable[Rejected]) -> None:
        """Take pictures out, each for its reason; their bytes stay, and `restore` takes them in again.

        Raises DataError, and changes nothing, where none would be left.
        """
        with self._edit() as index:
            index.reject(refused)

    def restore(self, keys: Iterable[str]) -> None:
        """Take refused pictures in after all: they pass every step but the one that refused them.

        Raises DataError, and changes nothing, where one was not refused, is damaged, or is refused by another step.
        """
        with self._edit() as index:
            restore(self.path, index, list(keys))
            _splitting(index).select(index)

    def _rows(self, split: str) -> np.ndarray:
        """All that the memory map has of a split."""
        place = SPLITS.index(self._checked(split))
        counts = self.card["counts"]
        start = sum(counts.get(before, 0) for before in SPLITS[:place])
        return self._pixels[start : start + counts.get(split, 0)]

    @cached_property
    def _pixels(self) -> np.ndarray:
        self._check()
        with disk_errors(self.path), self._index() as index, self._sense():
            num_images = sum(self.card["counts"].values())
            return cache.pixels_of(self.path, index, self.spec, num_images, self.pixel_digest)

    def _column(self, name: str, split: str) -> list[Any]:
        self._check()
        with self._index() as index:
            return [
                value
                for (value,) in index.query(f"select {name} {ACCEPTED} and split = ? order by id", self._checked(split))
            ]

    def _checked(self, split: str) -> str:
        if split not in SPLITS:
            raise DataError(f"no split '{split}'{did_you_mean(split, SPLITS)}")
        return split

    @contextmanager
    def index(self) -> Iterator[Index]:
        """The index, to read from: all rows of all pictures. Change it by the methods above only."""
        with self._index() as index:
            yield index

    @contextmanager
    def _index(self) -> Iterator[Index]:
        with disk_errors(self.path), Index(self.path / INDEX) as index:
            yield index

    @contextmanager
    def _edit(self) -> Iterator[Index]:
        """A transaction that ends with a new card. card.json is a copy: what the index says holds."""
        with self._index() as index:
            with index.transaction():
                yield index
                card = describe(index)
                index.set_state("card", card)
            write_json(self.path / CARD, card)
        self.card = card
        self.__dict__.pop("_pixels", None)


def _splitting(index: Index) -> Chain:
    """The split step with its present settings, as a chain of one; of none where the build skipped it."""
    settings = index.get_state("split") or index.get_state("recipe")["steps"].get("split")
    return chain_from_json({} if settings is None else {"split": settings})


def _require_dataset(path: Path) -> None:
    """Raise DataError, telling what to type, where a path is no finished dataset."""
    build = f"figment data build {path} --out DATASET"
    if not path.exists():
        raise DataError(f"{path}: no such dataset; make one with: figment data build SOURCE --out {path}")
    if is_sealed(path):
        raise DataError(f"{path}: is sealed; open it with: figment data open {path} --out DATASET")
    if not path.is_dir():
        raise DataError(f"{path}: is a file, not a dataset; make one of it with: {build}")
    if (path / INDEX).exists() and not (path / CARD).exists():
        raise DataError(f"{path}: its build has not ended; give the same 'figment data build' command again to go on")
    if (path / "config.json").exists() and not (path / CARD).exists():
        raise DataError(f"{path}: is a run, not a dataset; give the dataset that it was trained on")
    if not (path / CARD).exists():
        raise DataError(f"{path}: is a plain folder, not a dataset; make one of it with: {build}")
    if not (path / INDEX).exists():
        raise DataError(f"{path}: its index.sqlite is missing; build it again with --fresh")


def spread_rows(count: int, num: int) -> np.ndarray:
    """At most `num` of `count` rows, evenly spread, (n,) int64."""
    return np.linspace(0, count - 1, min(count, num)).round().astype(np.int64)
