"""Score a generator, or a folder of anyone's pictures, against a dataset's held-out pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from figment.core import plugins
from figment.core.checkpoint import LoadedModel
from figment.core.errors import CapabilityError, DataError
from figment.core.noise import mix
from figment.core.types import Classifies, Generates, Record, Sample
from figment.data.pixels import to_channels
from figment.data.source import resolve
from figment.data.store import Store
from figment.evaluate.classification import classification
from figment.evaluate.extract import gathered, generate, sample_of
from figment.evaluate.judge import Judge
from figment.evaluate.scores import score_sample

MOST_TRAIN = 10_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Reference:
    """The real side of a dataset's scores: held-out pictures, and training pictures for the floor and for copies."""

    real: Sample
    train: Sample
    digest: str
    classes: tuple[str, ...]


def reference_of(store: Store, judge: Judge, num: int) -> Reference:
    """Up to `num` held-out and MOST_TRAIN training pictures through the judge, spread evenly over their split.

    As many real pictures as generated ones, where there are that many: coverage and recall depend on the counts.
    """
    if not store.counts.get(store.held_out):
        raise DataError(
            f"{store.path}: has no held-out pictures to score against; add pictures, or hold some out with: "
            f"figment data split {store.path} --val 0.1"
        )
    sides = [_spread(store, store.held_out, num), _spread(store, "train", MOST_TRAIN)]
    real, train = (sample_of(pixels, labels, judge.model) for pixels, labels in sides)
    return Reference(real, train, f"{store.pixel_digest[:16]}:{store.held_out}", store.spec.classes)


def _spread(store: Store, split: str, num: int) -> tuple[np.ndarray, np.ndarray | None]:
    pixels, labels = store.images(split), store.labels(split)
    rows = np.linspace(0, len(pixels) - 1, min(len(pixels), num)).round().astype(np.int64)
    return np.asarray(pixels[rows]), labels[rows] if store.spec.classes else None


def require_fit(loaded: LoadedModel, path: Path, store: Store) -> None:
    """Raise DataError where a run was trained on other pictures or other classes than the dataset has."""
    mine, theirs = loaded.spec, store.spec
    if mine.shape != theirs.shape or bool(mine.classes) > bool(theirs.classes):
        raise DataError(f"{path}: was trained on {mine}, the dataset has {theirs}; give a dataset of the same kind")
    if mine.classes and mine.classes != theirs.classes:
        raise DataError(
            f"{path}: was trained on the classes {_some(mine.classes)}, the dataset has {_some(theirs.classes)}; "
            "give a dataset of the same classes"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")


def asked_labels(reference: Reference, num: int, seed: int) -> np.ndarray | None:
    """Labels to generate: as frequent as among the held-out pictures; None for a dataset without classes."""
    labels = reference.real.labels
    if labels is None:
        return None
    rng = np.random.default_rng(mix(seed, 1))
    turns = -(-num // len(labels))
    return np.concatenate([rng.permutation(labels) for _ in range(turns)])[:num]


def fakes_of(
    loaded: LoadedModel, reference: Reference, judge: Judge, num: int, seed: int, progress: Progress
) -> Sample:
    """`num` generated pictures through the judge; no more than there are training pictures to set the floor.

    Raises CapabilityError where the model draws no pictures.
    """
    if not isinstance(loaded.model, Generates):
        raise CapabilityError(f"a '{loaded.family}' draws no pictures to score")
    num = min(num, len(reference.train))
    labels = asked_labels(reference, num, seed) if loaded.spec.classes else None
    seeds = [mix(seed, index) for index in range(num)]
    chunks = generate(loaded.model, seeds, None if labels is None else labels.tolist())
    return sample_of(gathered(chunks, progress, num), labels, judge.model)


def default_metrics(reference: Reference) -> list[str]:
    """Every metric that the dataset has something for: the ones about labels need classes."""
    has_logits = reference.real.logits is not None
    return [
        name
        for name in plugins.names("metrics")
        if has_logits or not {"logits", "labels"} & set(plugins.constant("metrics", name, "NEEDS", ()))  # type: ignore[call-overload]
    ]


def score(
    fake: Sample, reference: Reference, judge: Judge, metrics: Sequence[str], seed: int
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The JSON scores of one sample, and warnings."""
    scores, warnings = score_sample(
        real=reference.real,
        fake=fake,
        train=reference.train,
        metrics=metrics,
        extractor=judge.name,
        reference_digest=reference.digest,
        seed=seed,
    )
    return {name: asdict(value) for name, value in scores.items()}, warnings


def classify_held_out(loaded: LoadedModel, store: Store) -> dict[str, Any]:
    """How well a classifier names the classes of held-out pictures.

    Raises CapabilityError where the model is none.
    """
    if not isinstance(loaded.model, Classifies):
        raise CapabilityError(
            f"a '{loaded.family}' neither draws pictures nor classifies them: there is nothing to score"
        )
    labels = store.labels(store.held_out)
    known = labels >= 0
    pixels = np.asarray(store.images(store.held_out)[known])
    sample = sample_of(pixels, labels[known], loaded.model)  # type: ignore[arg-type]
    assert sample.logits is not None
    return classification(sample.logits, labels[known], store.spec.classes)


def pictures_of(folder: Path, store: Store) -> tuple[np.ndarray, np.ndarray | None]:
    """Anyone's pictures, uint8 (N, H, W, C), with labels where subfolders carry the dataset's class names.

    Raises DataError where a picture cannot be read or is of another size: scores would depend on how it is resized.
    """

    spec, decode = store.spec, plugins.load("steps", "decode")
    name, config = resolve(str(folder))
    pixels, labels = [], []
    for record in plugins.load("sources", name).records(config):
        decoded = decode.mend(record, decode.Config()) if isinstance(record, Record) else record
        if not isinstance(decoded, Record):
            raise DataError(f"{folder}: {decoded.key}: {decoded.reason}")
        assert not isinstance(decoded.image, bytes), "decode gives pixels"
        picture = to_channels(decoded.image, spec.channels)
        if picture.shape[:2] != (spec.height, spec.width):
            size = f"{picture.shape[0]}x{picture.shape[1]}"
            raise DataError(
                f"{folder}: {decoded.key} is {size}, the dataset {spec.height}x{spec.width}; resize it first"
            )
        pixels.append(picture)
        labels.append(spec.classes.index(decoded.label) if decoded.label in spec.classes else -1)
    if not pixels:
        raise DataError(f"{folder}: no pictures in it")
    has_labels = min(labels) >= 0
    return np.stack(pixels), np.array(labels) if has_labels else None
