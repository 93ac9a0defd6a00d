"""The settings that a run draws best with: one after the other is changed, and pictures of the same seeds are scored.

What may be changed, and to what, a family's Sampling says in `CHOICES`: {setting: values}, in the order of trying. The
same seeds and classes every time make small differences visible, which draws of their own would drown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from figment.core.errors import ConfigError

# A score that is worse by no more than this share is as good, and the quicker settings are taken.
TIE = 0.03

# Times that differ by no more than this share are as quick: the settings that were tried first are kept.
AS_QUICK = 0.1


@dataclass(frozen=True)
class Trial:
    """Settings with what they came to.

    badness: the score, turned so that lower is better. seconds: of drawing one picture; judging takes no part.
    """

    settings: Any
    changed: str
    badness: float
    seconds: float


def search(
    start: Any,
    choices: Mapping[str, Sequence[Any]],
    draw: Callable[[Any], Any],
    badness: Callable[[Any], float],
    num: int,
) -> Iterator[Trial]:
    """Try `start`, then for each setting its values with the best of the others so far; yields every trial.

    draw(settings): `num` pictures, which is timed. badness(pictures): how bad they are, which is not. Values that have
    no effect beside the others are passed over.
    """
    tried: dict[Any, Trial] = {}

    def trial(settings: Any, changed: str) -> Trial:
        started = time.perf_counter()
        pictures = draw(settings)
        seconds = (time.perf_counter() - started) / num
        tried[settings] = Trial(settings, changed, badness(pictures), seconds)
        return tried[settings]

    yield trial(start, "")
    for name, values in choices.items():
        best = chosen(list(tried.values())).settings
        for value in values:
            try:
                settings = replace(best, **{name: value})
            except ConfigError:
                continue
            if settings not in tried:
                yield trial(settings, name)


def chosen(trials: Sequence[Trial], most_seconds: float = float("inf")) -> Trial:
    """Of the trials that tie with the best one the first that is as quick as the quickest of them.

    Only those within the time for one picture are looked at, if there are any.
    """
    within = [trial for trial in trials if trial.seconds <= most_seconds]
    within = within or [min(trials, key=lambda trial: trial.seconds)]
    best = min(trial.badness for trial in within)
    ties = [trial for trial in within if trial.badness <= best + TIE * abs(best)]
    quickest = min(trial.seconds for trial in ties)
    return next(trial for trial in ties if trial.seconds <= quickest * (1 + AS_QUICK))
