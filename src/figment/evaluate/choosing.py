"""Scores that guide a choice, of a checkpoint or of settings: quick, without intervals, against pictures of "val"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from figment.core import plugins
from figment.core.engine import Engine
from figment.core.errors import ConfigError
from figment.core.images import to_uint8
from figment.core.noise import mix, noise
from figment.core.types import Batch, Condition, Generates
from figment.data.store import Store
from figment.evaluate.extract import CHUNK, sample_of
from figment.evaluate.judge import Judge

MOST_TRAIN = 5_000


class Scorer(Protocol):
    """Scores of what a model draws; the first one is what the choice is made by."""

    def __call__(self, model: nn.Module, engine: Engine, settings: Any = None) -> Mapping[str, float]: ...


def scorer_of(store: Store, judge: Judge, metric_names: Sequence[str], num: int) -> Scorer:
    """Scores `num` pictures by the named metrics.

    Against "val": the split that a finished run is scored on takes no part, where the dataset has a "test". The
    pictures come of the same seeds and classes every time.

    Raises ConfigError where nothing is held out, or for an unknown metric.
    """
    if not store.counts.get("val"):
        raise ConfigError(
            f"{store.path}: has no 'val' pictures to choose by; type: figment data split {store.path} --val 0.1"
        )
    metrics = {name: plugins.load("metrics", name) for name in metric_names}
    real = sample_of(*_pictures(store, "val", num), judge.model)
    needs_train = any("train" in metric.NEEDS for metric in metrics.values())
    seen = sample_of(*_pictures(store, "train", MOST_TRAIN), judge.model) if needs_train else None
    labels = None if real.labels is None else np.resize(real.labels, num)
    seeds = [mix(0, index) for index in range(num)]

    def score(model: nn.Module, engine: Engine, settings: Any = None) -> Mapping[str, float]:
        fake = sample_of(_drawn(model, engine, seeds, labels, settings), labels, judge.model)
        scores: dict[str, float] = {}
        for metric in metrics.values():
            sides = {"train": seen} if "train" in metric.NEEDS else {}
            scores |= metric.score(real=real, fake=fake, **sides)
        return scores

    return score


@torch.no_grad()
def _drawn(model: nn.Module, engine: Engine, seeds: list[int], labels: np.ndarray | None, settings: Any) -> np.ndarray:
    """uint8 (N, H, W, C)"""
    assert isinstance(model, Generates), "who asks for a score has refused families that draw no pictures"
    parts = []
    for low in range(0, len(seeds), CHUNK):
        rows = slice(low, low + CHUNK)
        condition = Condition() if labels is None else Condition(labels=torch.from_numpy(labels[rows]))
        placed = engine.put(Batch(noise(seeds[rows], model), condition))
        with engine.arithmetic():
            parts.append(to_uint8(model.generate(placed.images, placed.condition, settings)))
    return np.concatenate(parts)


def _pictures(store: Store, split: str, most: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Up to `most` pictures of a split, spread evenly over it, with their labels."""
    pixels = store.images(split)
    rows = np.linspace(0, len(pixels) - 1, min(len(pixels), most)).round().astype(np.int64)
    return np.asarray(pixels[rows]), store.labels(split)[rows] if store.spec.classes else None
