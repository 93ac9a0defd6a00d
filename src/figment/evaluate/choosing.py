"""Scores that guide a choice, of a checkpoint or of settings: quick, without intervals, against pictures of "val"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from figment.core import plugins, ranks
from figment.core.engine import Engine
from figment.core.errors import ConfigError
from figment.core.noise import mix
from figment.core.types import Condition, Generates, Sample
from figment.data.batches import Batches
from figment.data.store import Store, spread_rows
from figment.evaluate.extract import drawn, sample_of
from figment.evaluate.judge import Judge

MOST_TRAIN = 5_000

# What metrics look at, by a word of their NEEDS, that freshly drawn pictures have not.
_NOT_OF_DRAWN = {
    "paired": "compares pictures with what is rebuilt of them",
    "bits": "is of how probable real pictures are",
    "spatial": "needs features of places",
}


@dataclass(frozen=True)
class DrawnScorer:
    """A `Scorer` in two halves, so that drawing can be timed alone: `score(draw(...))`.

    real, train: what pictures are scored against. asked, seeds: what each is asked to show, and its seed.
    """

    metrics: Sequence[ModuleType]
    judge: Judge
    real: Sample
    train: Sample | None
    asked: Condition
    seeds: Sequence[int]

    def __call__(self, model: nn.Module, engine: Engine, settings: Any = None) -> Mapping[str, float]:
        return self.score(self.draw(model, engine, settings))

    def draw(self, model: nn.Module, engine: Engine, settings: Any = None) -> np.ndarray:
        """Pictures, uint8 (N, H, W, C), on every rank."""
        assert isinstance(model, Generates), "who asks for a score has refused families that draw no pictures"
        return drawn(model, self.seeds, self.asked, settings, engine)

    def score(self, pixels: np.ndarray) -> Mapping[str, float]:
        """The scores of drawn pictures, those of the first metric first; found by the first rank, for all."""
        return ranks.decided(lambda: self._score(pixels))

    def _score(self, pixels: np.ndarray) -> Mapping[str, float]:
        labels = None if self.asked.labels is None else self.asked.labels.numpy()
        fake = sample_of(pixels, labels, self.judge.model)
        scores: dict[str, float] = {}
        for metric in self.metrics:
            sides = {"train": self.train} if "train" in metric.NEEDS else {}
            scores |= metric.score(real=self.real, fake=fake, **sides)
        return scores


def require_of_drawn(metric_names: Sequence[str]) -> None:
    """Raise ConfigError for an unknown metric, and for one that says nothing of freshly drawn pictures."""
    for name in metric_names:
        needs: Any = plugins.constant("metrics", plugins.require("metrics", name), "NEEDS", ())
        for need in needs:
            if need in _NOT_OF_DRAWN:
                raise ConfigError(
                    f"'{name}' {_NOT_OF_DRAWN[need]}, and nothing can be chosen by it among freshly drawn pictures; "
                    "choose by fd, kid or accuracy: figment list metrics"
                )


def scorer_of(store: Store, judge: Judge, metric_names: Sequence[str], num: int) -> DrawnScorer:
    """Scores `num` pictures by the named metrics.

    Against "val": the split that a finished run is scored on takes no part, where the dataset has a "test". The
    pictures come of the same seeds every time, and are asked for what the same pictures of "val" show.

    Raises ConfigError where nothing is held out, or for a metric that `require_of_drawn` refuses.
    """
    require_of_drawn(metric_names)
    if not store.counts.get("val"):
        raise ConfigError(
            f"{store.path}: has no 'val' pictures to choose by; type: figment data split {store.path} --val 0.1"
        )
    metrics = [plugins.load("metrics", name) for name in metric_names]
    real, asked = _seen(store, "val", num, judge)
    needs_train = any("train" in metric.NEEDS for metric in metrics)
    train = _seen(store, "train", MOST_TRAIN, judge)[0] if needs_train else None
    asked = asked[torch.arange(num) % len(real)]
    return DrawnScorer(metrics, judge, real, train, asked, [mix(0, index) for index in range(num)])


def _seen(store: Store, split: str, most: int, judge: Judge) -> tuple[Sample, Condition]:
    """Up to `most` pictures of a split, spread evenly over it, through the judge; and what they show."""
    pixels = store.images(split)
    rows = spread_rows(len(pixels), most)
    condition = Batches(store, split, 1).take(rows).condition
    labels = None if condition.labels is None else condition.labels.numpy()
    return sample_of(np.asarray(pixels[rows]), labels, judge.model), condition
