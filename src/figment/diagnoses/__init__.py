"""One file a sickness of training that the doctor can name.

A diagnosis is a module with

    NEEDS                  what it must know of the run, out of "log", "pictures", "optimizer", "loader"
    examine(evidence)      -> Finding, or None where the run is healthy or too little is known

It names what it sees, the figure, and the setting to change. A healthy run must not be accused: limits are far from
what healthy runs show, and what is rightly odd at the beginning of a training counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from figment.core import plugins
from figment.core.types import Sample

EARLY = 4000  # images seen before which generated pictures prove nothing


@dataclass(frozen=True)
class Series:
    """One figure of a run's log: steps and values, (n,) each, in the order of time."""

    steps: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def part(self, low: float, high: float) -> np.ndarray:
        """The values between two shares of the time: (0.75, 1) is the last quarter."""
        first, last = (round(share * len(self)) for share in (low, high))
        return self.values[first:last]


@dataclass(frozen=True)
class Copies:
    """Share of generated pictures that are near copies of training ones, the share of held-out ones for which that is
    so, and whether chance alone explains the difference."""

    share: float
    held_out: float
    by_chance: bool


@dataclass(frozen=True)
class Evidence:
    """What is known of a run; what is not known is empty or None, and then nobody is accused by it.

    settings: of the family, as in config.json. series: by "kind/name", such as "train/critic/real_logit" or
    "validation/loss". real, fake: held-out and generated pictures through one extractor, as many of each. copies: what
    comparing generated pictures with the training pictures gave. still: by layer, the share of its units whose weights
    receive no gradient any more. wait_share: share of a step's time that goes into making its batch.
    """

    family: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    seen_images: int = 0
    series: Mapping[str, Series] = field(default_factory=dict)
    real: Sample | None = None
    fake: Sample | None = None
    copies: Copies | None = None
    still: Mapping[str, float] = field(default_factory=dict)
    wait_share: float | None = None

    def of_training(self, *names: str) -> dict[str, Series]:
        """The logged series with one of these last names, by their full name: of_training("real_logit")."""
        return {
            full: one
            for full, one in self.series.items()
            if full.startswith("train/") and full.rpartition("/")[2] in names
        }

    def late_shares(self, name: str, setting: str) -> Iterator[float]:
        """What each logged series of this name was in the last quarter of the training, by median, over a setting.

        Nothing where the family has no such setting, or too little was seen.
        """
        whole = self.settings.get(setting)
        for series in self.of_training(name).values():
            if whole and len(series) >= 4 and self.seen_images >= EARLY:
                yield float(np.median(series.part(0.75, 1))) / whole


@dataclass(frozen=True)
class Finding:
    """A sickness that was seen. sickness: the file's name. seen: what, in words. figure: the number behind it, limit:
    where sickness begins. advice: the setting to change."""

    sickness: str
    seen: str
    figure: float
    limit: float
    advice: str

    def __str__(self) -> str:
        return f"{self.sickness.replace('_', ' ')}: {self.seen}; {self.advice}"


def findings(evidence: Evidence, known: Sequence[str] = ()) -> Iterator[Finding]:
    """What every diagnosis sees; known: only those that need no more than these parts, all where none are named."""
    for name in plugins.names("diagnoses"):
        needs: Any = plugins.constant("diagnoses", name, "NEEDS", ())
        if not known or set(needs) <= set(known):
            finding = plugins.load("diagnoses", name).examine(evidence)
            if finding is not None:
                yield finding
