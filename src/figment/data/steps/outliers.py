"""Refuse pictures that are unlike all others: a screenshot among photographs of cats, a map, a page of text.

Part of the data room. Off by default, because the rare picture may be the good one. A picture is as far out as its
fifth nearest neighbour is away (Ramaswamy, Rastogi and Shim 2000, "Efficient algorithms for mining outliers from large
data sets") among at most 2,048 of the pictures (Sugiyama and Borgwardt 2013, "Rapid distance-based outlier detection
via sampling"), in terms of the distance that half of the pictures stay within. So several kinds of pictures may lie
side by side, and a few strange ones are not each other's excuse. What is compared are edges and colours of the
thumbnail (`figment.data.descriptors`); by what a trained judge sees in them, `figment data outliers` compares pictures.
Sequences and pairs are not judged, nor is a dataset of fewer than 100 pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from figment.core.config import check_range
from figment.core.types import Rejected
from figment.data.descriptors import described, squared_distances
from figment.data.index import Index

ORDER = 80
GLOBAL = True
SUGGESTED = 2.0  # a dry run says what it would refuse
FEWEST = 100
COMPARED = 2048
NEIGHBOUR = 5

_AT_ONCE = 2048


@dataclass(frozen=True)
class Config:
    """Left alone, it refuses none."""

    distance: float | None = None
    """Refuse where the neighbours are at least this many times as far away as usual; 2 is cautious."""

    def __post_init__(self):
        if self.distance is not None:
            check_range("outliers.distance", self.distance, 1, 1000)


def select(index: Index, config: Config) -> Iterable[Rejected]:
    """One Rejected for every picture that is too far out."""
    if config.distance is None:
        return
    keys, points = described(index)
    if len(keys) < FEWEST:
        return
    away = distances(points)
    for row in np.flatnonzero(away >= config.distance).tolist():
        yield Rejected(keys[row], "outliers", reason(away[row]))


def reason(away: float) -> str:
    """Why a picture is refused."""
    return f"unlike the others: {away:.2f} times as far away as usual"


def distances(points: np.ndarray) -> np.ndarray:
    """How far out each of (N, D) points is, (N,): the median is 1."""
    number = len(points)
    compared = np.linspace(0, number - 1, min(number, COMPARED)).round().astype(np.int64)
    others = points[compared]
    away = np.empty(number, np.float32)
    for low in range(0, number, _AT_ONCE):
        rows = slice(low, low + _AT_ONCE)
        squares = squared_distances(points[rows], others)
        squares[np.arange(low, low + len(squares))[:, None] == compared] = np.inf  # nobody is its own neighbour
        away[rows] = np.sqrt(np.partition(squares, NEIGHBOUR - 1, axis=1)[:, NEIGHBOUR - 1])
    return away / max(float(np.median(away)), 1e-6)
