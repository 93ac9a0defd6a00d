"""Scores that guide a choice, of a checkpoint or of settings: quick, without intervals, against pictures of "val"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from figment.train.fit import Scorer

MOST_TRAIN = 5_000


def scorer_of(store: Store, judge: Judge, metric_names: Sequence[str], num: int) -> Scorer:
    """Scores `num` pictures by the named metrics.

    Against "val": the split that a finished run is scored on takes no part, where the dataset has a "test". The
    pictures come of the same seeds every time, and are asked for what the same pictures of "val" show.

    Raises ConfigError where nothing is held out, or for an unknown metric.
    """
    if not store.counts.get("val"):
        raise ConfigError(
            f"{store.path}: has no 'val' pictures to choose by; type: figment data split {store.path} --val 0.1"
        )
    metrics = {name: plugins.load("metrics", name) for name in metric_names}
    real, asked = _seen(store, "val", num, judge)
    needs_train = any("train" in metric.NEEDS for metric in metrics.values())
    train = _seen(store, "train", MOST_TRAIN, judge)[0] if needs_train else None
    asked = asked[torch.arange(num) % len(real)]
    labels = None if asked.labels is None else asked.labels.numpy()
    seeds = [mix(0, index) for index in range(num)]

    def score(model: nn.Module, engine: Engine, settings: Any = None) -> Mapping[str, float]:
        assert isinstance(model, Generates), "who asks for a score has refused families that draw no pictures"
        pixels = drawn(model, seeds, asked, settings, engine)
        return ranks.decided(lambda: judged(pixels))

    def judged(pixels: np.ndarray) -> Mapping[str, float]:
        fake = sample_of(pixels, labels, judge.model)
        scores: dict[str, float] = {}
        for metric in metrics.values():
            sides = {"train": train} if "train" in metric.NEEDS else {}
            scores |= metric.score(real=real, fake=fake, **sides)
        return scores

    return score


def _seen(store: Store, split: str, most: int, judge: Judge) -> tuple[Sample, Condition]:
    """Up to `most` pictures of a split, spread evenly over it, through the judge; and what they show."""
    pixels = store.images(split)
    rows = spread_rows(len(pixels), most)
    condition = Batches(store, split, 1).take(rows).condition
    labels = None if condition.labels is None else condition.labels.numpy()
    return sample_of(np.asarray(pixels[rows]), labels, judge.model), condition
