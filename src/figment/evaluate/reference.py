"""The real side of scores: held-out pictures of a dataset, or a folder of pictures, and what to doubt about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from figment.core import plugins
from figment.core.errors import DataError
from figment.core.types import Condition, ImageSpec, Progress, Record, Sample, silent
from figment.data.batches import Batches
from figment.data.pixels import to_channels
from figment.data.source import resolve
from figment.data.store import Store, spread_rows
from figment.evaluate.cache import array_digest
from figment.evaluate.extract import Eyes

MOST_TRAIN = 10_000

_LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif", ".webp")
_SHOWN_CLASSES = 6


@dataclass(frozen=True)
class Reference:
    """The real side of scores, and training pictures for the floor and for copies; a folder has none of those.

    asked: what the real pictures show, which generators are asked for. digest: of the real pictures, as scores quote
    it. key: of everything here. is_lossy: whether they came from lossy files. doubts: what a reader of the scores
    should be told.
    """

    real: Sample
    train: Sample | None
    digest: str
    classes: tuple[str, ...]
    asked: Condition = field(default_factory=Condition)
    key: str = ""
    is_lossy: bool = False
    doubts: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Pictures:
    """Anyone's pictures: uint8 (N, H, W, C), with the names of their folders, or None, and of their files."""

    pixels: np.ndarray
    labels: list[str | None]
    files: list[str]

    @property
    def classes(self) -> tuple[str, ...]:
        """The folders' names, where all pictures lie in two or more."""
        return (
            tuple(sorted({label for label in self.labels if label}))
            if all(self.labels) and len(set(self.labels)) > 1
            else ()
        )

    @property
    def is_lossy(self) -> bool:
        return are_lossy(self.files)

    def spread(self, num: int) -> Pictures:
        """At most `num` of them, evenly spread."""
        rows = spread_rows(len(self.pixels), num)
        return Pictures(self.pixels[rows], [self.labels[row] for row in rows], [self.files[row] for row in rows])

    def places(self, classes: Sequence[str]) -> np.ndarray | None:
        """Each picture's place in `classes`, (N,) int64; None where one of them lies elsewhere."""
        names = {name: place for place, name in enumerate(classes)}
        labels = [names.get(label or "", -1) for label in self.labels]
        return np.array(labels, np.int64) if labels and min(labels) >= 0 else None


def reference_of(store: Store, eyes: Eyes, num: int, progress: Progress = silent) -> Reference:
    """Up to `num` held-out and MOST_TRAIN training pictures through the extractor, spread evenly over their split.

    As many real pictures as generated ones, where there are that many: coverage and recall depend on the counts.
    """
    if not store.counts.get(store.held_out):
        raise DataError(
            f"{store.path}: has no held-out pictures to score against; add pictures, or hold some out with: "
            f"figment data split {store.path} --val 0.1; then train anew, for a run of before has seen them"
        )
    real, train = (_side(store, eyes, *side, progress) for side in ((store.held_out, num), ("train", MOST_TRAIN)))
    files = store.keys(store.held_out)
    rows = spread_rows(store.counts[store.held_out], num)
    return Reference(
        real,
        train,
        f"{store.pixel_digest[:16]}:{store.held_out}",
        store.spec.classes,
        asked=Batches(store, store.held_out, 1).take(rows).condition,
        key=f"{store.pixel_digest} {store.label_digest} {store.held_out} {len(real)} {len(train)}",
        is_lossy=are_lossy(files),
        doubts=_doubts(real, train),
    )


def reference_in(folder: Path, spec: ImageSpec | None, eyes: Eyes, num: int, progress: Progress = silent) -> Reference:
    """Up to `num` pictures of a folder as the real side; there are no training pictures, so no floor."""
    pictures = pictures_in(folder, spec).spread(num)
    labels, digest = pictures.places(pictures.classes), array_digest(pictures.pixels)
    real = eyes.see(pictures.pixels, labels, {"pictures": digest}, progress)
    name = f"{digest[:16]}:folder"
    asked = Condition(labels=None if labels is None else torch.from_numpy(labels))
    return Reference(real, None, name, pictures.classes, asked, digest, pictures.is_lossy, _doubts(real, None))


def _side(store: Store, eyes: Eyes, split: str, num: int, progress: Progress) -> Sample:
    pixels, labels = store.images(split), store.labels(split)
    rows = spread_rows(len(pixels), num)
    key = {"dataset": store.pixel_digest, "split": split, "rows": len(rows)}
    return eyes.see(np.asarray(pixels[rows]), labels[rows] if store.spec.classes else None, key, progress)


def are_lossy(files: Sequence[str]) -> bool:
    """Whether most of the files are of a lossy format."""
    return 2 * sum(file.lower().endswith(_LOSSY) for file in files) > len(files)


def pictures_in(folder: Path, spec: ImageSpec | None) -> Pictures:
    """The pictures below a folder, all of one size: that of the spec, or else that of the first one.

    Raises DataError where a picture cannot be read or is of another size: scores would depend on how it is resized.
    """
    decode = plugins.load("steps", "decode")
    name, config = resolve(str(folder))
    pixels: list[np.ndarray] = []
    labels: list[str | None] = []
    files: list[str] = []
    for record in plugins.load("sources", name).records(config):
        decoded: Any = decode.mend(record, decode.Config()) if isinstance(record, Record) else record
        if not isinstance(decoded, Record):
            raise DataError(f"{folder}: {decoded.key}: {decoded.reason}")
        size = decoded.image.shape[:2]  # type: ignore[union-attr]
        asked = (spec.height, spec.width) if spec else pixels[0].shape[:2] if pixels else size
        if size != asked:
            other = "the dataset" if spec else files[0]
            raise DataError(
                f"{folder}: {decoded.key} is {size[0]}x{size[1]}, {other} {asked[0]}x{asked[1]}; resize it first"
            )
        pixels.append(decoded.image)  # type: ignore[arg-type]
        labels.append(decoded.label)
        files.append(decoded.key)
    if not pixels:
        raise DataError(f"{folder}: no pictures in it")
    channels = spec.channels if spec else 1 if all(one.shape[2] == 1 for one in pixels) else 3
    return Pictures(np.stack([to_channels(one, channels) for one in pixels]), labels, files)


def _doubts(real: Sample, train: Sample | None) -> list[str]:
    """Copies among the real pictures, and between them and the training pictures that were looked at."""
    held_out = _fingerprints(real)
    twice = len(real) - len(set(held_out))
    lines = [f"{twice} of {len(real)} real pictures are exact copies of others: radii and intervals are too small"]
    lines = lines if twice else []
    if train is not None:
        known = set(_fingerprints(train))
        both = sum(one in known for one in held_out)
        if both:
            lines.append(
                f"{both} of {len(real)} held-out pictures are training pictures too: copying looks better than it is; "
                "build the dataset with the step exact_duplicates"
            )
    return lines


def _fingerprints(sample: Sample) -> list[int]:
    assert sample.images is not None
    return [hash(picture.tobytes()) for picture in sample.images]
