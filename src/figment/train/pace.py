"""How long the work of a training takes, and what fits into a budget of time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from figment.core.config import TrainConfig
from figment.data.batches import Batches
from figment.train.run import RunConfig
from figment.train.trainer import Trainer

TIMED_STEPS, UNTIMED_STEPS = 20, 4
STEPS = UNTIMED_STEPS + TIMED_STEPS


@dataclass(frozen=True)
class Pace:
    """Seconds of one step, one validation, one sample grid and one score.

    earlier: (images seen at its end, seconds of a step) of the stages before the last, of a family that grows.
    """

    step: float
    validation: float
    samples: float
    score: float
    earlier: tuple[tuple[int, float], ...] = ()

    def score_every(self, train: TrainConfig) -> int:
        """Steps between scores: as many as asked for, or as few more as keep them within their share of the time.

        Of n steps and one score, the score takes score / (n * step + score) of the time.
        """
        needed = self.score * (1 - train.score_share) / (train.score_share * self.step)
        return train.score_every * max(1, math.ceil(needed / train.score_every))

    def per_step(self, train: TrainConfig, score_every: int) -> float:
        """Seconds that a step of the last stage takes with its share of the work around it."""
        return self.step + self.around(train, score_every)

    def around(self, train: TrainConfig, score_every: int) -> float:
        """Seconds of a step's share of the work around it."""
        work = (
            (self.validation, train.validate_every),
            (self.samples, train.sample_every),
            (self.score, score_every),
        )
        return sum(seconds / every for seconds, every in work if every)

    def steps_within(self, seconds: float, train: TrainConfig, score_every: int) -> int:
        """Steps from the first on, with the work around them, that fit into so many seconds."""
        steps, around = 0, self.around(train, score_every)
        for images, step in self.earlier:
            stage = min(math.ceil(images / train.batch_size) - steps, int(seconds / (step + around)))
            steps, seconds = steps + stage, seconds - stage * (step + around)
        return steps + int(seconds / (self.step + around))

    def fixed(self, run: RunConfig, spent: float) -> RunConfig:
        """The run with as many steps as fit, and scores as often as they may be; spent: seconds of its time."""
        if run.train.score_every:
            run = replace(run, score_every=self.score_every(run.train))
        if run.steps:
            return run
        fitting = self.steps_within(run.minutes * 60 - spent, run.train, run.score_every)
        return replace(run, steps=max(STEPS, fitting))


def seconds_a_step(trainer: Trainer, batches: Batches) -> float:
    """Of a trainer with STEPS to go, all of which are taken; the first few are not timed."""
    started = time.perf_counter()
    for report in trainer.run(batches.at):
        if report.step == UNTIMED_STEPS:
            started = time.perf_counter()
    return (time.perf_counter() - started) / TIMED_STEPS


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
