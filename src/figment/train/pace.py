"""How long the work of a training takes, and what fits into a budget of time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from figment.core.config import TrainConfig


@dataclass(frozen=True)
class Pace:
    """Seconds of one step, one validation, one sample grid and one score."""

    step: float
    validation: float
    samples: float
    score: float

    def score_every(self, train: TrainConfig) -> int:
        """Steps between scores: as many as asked for, or as few more as keep them within their share of the time.

        Of n steps and one score, the score takes score / (n * step + score) of the time.
        """
        needed = self.score * (1 - train.score_share) / (train.score_share * self.step)
        return train.score_every * max(1, math.ceil(needed / train.score_every))

    def per_step(self, train: TrainConfig, score_every: int) -> float:
        """Seconds that a step takes with its share of the work around it."""
        around = (
            (self.validation, train.validate_every),
            (self.samples, train.sample_every),
            (self.score, score_every),
        )
        return self.step + sum(seconds / every for seconds, every in around if every)


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
