"""Labels proposed for pictures that have none, by a judge that is trained on those that have one.

The judge is the classifier of `figment.evaluate.judge`, by the same recipe, on the labelled training pictures alone.
Its probabilities are made honest on labelled pictures that were held out, by one temperature (Guo, Pleiss, Sun and
Weinberger 2017, "On Calibration of Modern Neural Networks", section 4.2). Only training pictures are proposed for: what
is held out measures generators, and must not rest on the judge's own opinion.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import compress
from typing import Any

import numpy as np

from figment.core.errors import DataError
from figment.data.card import SPLITS
from figment.data.store import Store
from figment.evaluate.extract import sample_of
from figment.evaluate.judge import judge_run, trained
from figment.features.judge import Judge, as_judge
from figment.train.run import RunConfig

LEAST_CHECKED = 20  # labelled held-out pictures; of fewer, no temperature can be told
CANDIDATES = 10  # times as many doubtful pictures are looked at as are asked for, so that they can be unlike each other

_TEMPERATURES = np.geomspace(0.25, 8, 101)


class Labelled(Store):
    """The part of a dataset that has labels, without those that were only proposed."""

    def __init__(self, whole: Store):
        super().__init__(whole.path)
        self._is_known = lru_cache(self._find_known)

    @property
    def counts(self) -> dict[str, int]:
        """Labelled pictures in each split that has some."""
        known = {split: int(self._is_known(split).sum()) for split in SPLITS}
        return {split: number for split, number in known.items() if number}

    @property
    def label_digest(self) -> str:
        """SHA-256 of the labels that a judge learns from, with their pictures' keys."""
        said = [[self.keys(split), self.labels(split).tolist()] for split in SPLITS]
        return hashlib.sha256(json.dumps([self.spec.classes, said], ensure_ascii=False).encode()).hexdigest()

    def _rows(self, split: str) -> np.ndarray:
        return super()._rows(split)[self._is_known(split)]

    def _column(self, name: str, split: str) -> list[Any]:
        return list(compress(super()._column(name, split), self._is_known(split)))

    def _find_known(self, split: str) -> np.ndarray:
        said = super()._column("label is not null and json_extract(origin, '$.proposed') is null", split)
        return np.array(said, bool)


@dataclass(frozen=True)
class Proposals:
    """What the judge says of N training pictures without a label of a person's.

    keys: of the pictures. labels: (N,), and second: (N,), the likeliest classes. confidence: (N,) in [0, 1]; margin:
    (N,), how much likelier the first is than the second. features: (N, D). before: (N,) bool, whether the picture has a
    label that was proposed earlier. checked: labelled held-out pictures; accuracy: of the judge on them, None for none.
    """

    keys: list[str]
    labels: np.ndarray
    second: np.ndarray
    confidence: np.ndarray
    margin: np.ndarray
    features: np.ndarray
    before: np.ndarray
    checked: int
    accuracy: float | None


def proposing_run(store: Labelled) -> RunConfig:
    """The judge's recipe, but that it may become certain: its confidence is what decides here.

    Raises DataError where fewer than two classes have labels.
    """
    if store.spec.num_classes < 2:
        raise DataError(
            f"{store.path}: has {store.spec.num_classes} labelled classes, and a judge needs two; "
            "label some pictures of each class, in folders or a table, and build again"
        )
    run = judge_run(store)
    return replace(run, settings=replace(run.settings, label_smoothing=0.0))


def propose(
    store: Store, *, progress: Callable[[int, int], None], warn: Callable[[str], None], stopping: Callable[[], bool]
) -> Proposals:
    """Proposals for every training picture that nobody has labelled; the judge is trained now, or was before.

    Raises DataError where fewer than two classes have labels, and where every picture has one.
    """
    known = Labelled(store)
    asked = proposing_run(known)
    open_rows = np.flatnonzero((store.labels("train") < 0) | store.proposed("train"))
    if not len(open_rows):
        raise DataError(f"{store.path}: every training picture has a label; there is nothing to propose")
    folder = store.path / "judges" / f"proposing-{store.pixel_digest[:8]}-{known.label_digest[:8]}"
    loaded = trained(folder, asked, known, progress=progress, warn=warn, stopping=stopping)
    judge = as_judge(loaded, folder, store)

    heat, checked, accuracy = _checked(known, judge)
    seen = sample_of(store.images("train")[open_rows], None, judge, progress=progress)
    assert seen.logits is not None
    shares = probabilities(seen.logits / heat)
    order = shares.argsort(1)
    rows = np.arange(len(shares))
    first, second = shares[rows, order[:, -1]], shares[rows, order[:, -2]]
    names = store.keys("train")
    return Proposals(
        keys=[names[row] for row in open_rows.tolist()],
        labels=order[:, -1],
        second=order[:, -2],
        confidence=first,
        margin=first - second,
        features=seen.features,
        before=store.proposed("train")[open_rows],
        checked=checked,
        accuracy=accuracy,
    )


def _checked(known: Labelled, judge: Judge) -> tuple[float, int, float | None]:
    """The judge on labelled held-out pictures: its temperature, how many there are, and its accuracy."""
    splits = [split for split in ("val", "test") if known.counts.get(split)]
    if not splits:
        return 1.0, 0, None
    truth = np.concatenate([known.labels(split) for split in splits])
    logits = sample_of(np.concatenate([known.images(split) for split in splits]), None, judge).logits
    assert logits is not None
    heat = temperature(logits, truth) if len(truth) >= LEAST_CHECKED else 1.0
    return heat, len(truth), float((logits.argmax(1) == truth).mean())


def accept(store: Store, proposals: Proposals, least: float) -> int:
    """Write the labels of at least that confidence into the dataset, all in one transaction; how many.

    What was proposed earlier and is less certain now loses its label.
    """
    classes, is_sure = store.spec.classes, proposals.confidence >= least
    labels: dict[str, str | None] = dict.fromkeys(compress(proposals.keys, proposals.before & ~is_sure))
    for row in np.flatnonzero(is_sure).tolist():
        labels[proposals.keys[row]] = classes[proposals.labels[row]]
    confidences = dict(zip(compress(proposals.keys, is_sure), proposals.confidence[is_sure].tolist(), strict=True))
    store.relabel(labels, confidences)
    return int(is_sure.sum())


def label_first(proposals: Proposals, number: int) -> np.ndarray:
    """Rows of the pictures whose labels would teach the judge most, (n,): doubtful ones that are unlike each other.

    Of those with the smallest margins (Scheffer, Decomain and Wrobel 2001, "Active Hidden Markov Models for Information
    Extraction", section 3), the ones that cover them best: beginning with the most doubtful, always the one farthest
    from all before (Sener and Savarese 2018, "Active Learning for Convolutional Neural Networks", algorithm 1), where a
    distance counts as much as there is doubt.
    """
    doubtful = proposals.margin.argsort(kind="stable")[: CANDIDATES * number]
    features, doubt = proposals.features[doubtful].astype(np.float64), 1 - proposals.margin[doubtful]
    chosen, away = [0], np.full(len(doubtful), np.inf)
    while len(chosen) < min(number, len(doubtful)):
        away = np.minimum(away, np.linalg.norm(features - features[chosen[-1]], axis=1))
        away[chosen] = -1
        chosen.append(int((away * doubt).argmax()))
    return doubtful[chosen]


def temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """What to divide logits (N, K) by so that their probabilities fit the labels (N,) best.

    Few labels that are all guessed right are no proof of certainty: a label counts for (N + 1) / (N + 2), as in Platt
    1999, "Probabilistic outputs for support vector machines", section 2.2.
    """
    number, classes = logits.shape
    target = np.full(logits.shape, 1 / (number + 2) / (classes - 1))
    target[np.arange(number), truth] = (number + 1) / (number + 2)
    return float(min(_TEMPERATURES, key=lambda heat: -(target * np.log(probabilities(logits / heat) + 1e-12)).sum()))


def probabilities(logits: np.ndarray) -> np.ndarray:
    """(N, K) -> (N, K), each row 1 in all."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
