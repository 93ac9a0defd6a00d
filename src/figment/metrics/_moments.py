"""Count, mean and scatter of features: of an array, of a stream of batches, of all ranks together.

Always float64, and always about the mean: raw second moments lose all digits where features lie far from 0. Memory is
(D, D) numbers and one block of rows, whatever N is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np

from figment.core import ranks

# Rows that a merge costs as much as: streams wait for as many before they merge.
MERGE_ROWS = 512

# Rows that are made float64 at a time: 64 MB at D = 2048.
_BLOCK_ROWS = 4096


@dataclass(frozen=True)
class Moments:
    """Count, mean (D,) and scatter (D, D) of features, the sum of centred outer products; float64.

    The sum of two is the moments of both sets together, without the cancellation of raw second moments.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, counts: np.ndarray | None = None) -> Moments:
        """Of (N, D), N >= 1, float32 or float64; row i taken counts[i] times, some at least once."""
        counts = np.ones(len(features)) if counts is None else counts.astype(np.float64)
        total = counts.sum()
        mean = sum((weights @ rows for rows, weights in _blocks(features, counts)), np.zeros(features.shape[1])) / total
        scatter = np.zeros((len(mean), len(mean)))
        for rows, weights in _blocks(features, counts):
            deviations = rows - mean
            deviations *= np.sqrt(weights)[:, None]
            scatter += deviations.T @ deviations
        return cls(int(total), mean, scatter)

    def __add__(self, other: Moments) -> Moments:
        """Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance" (1983), for D dimensions."""
        count = self.count + other.count
        shift = other.mean - self.mean
        between = np.outer(shift, shift) * (self.count * other.count / count)
        return Moments(count, self.mean + shift * (other.count / count), self.scatter + other.scatter + between)

    @property
    def covariance(self) -> np.ndarray:
        """(D, D), ddof = 1; needs count >= 2."""
        return self.scatter / (self.count - 1)


def _blocks(features: np.ndarray, counts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows that count at all, in float64, with their weights."""
    for start in range(0, len(features), _BLOCK_ROWS):
        weights = counts[start : start + _BLOCK_ROWS]
        rows = features[start : start + _BLOCK_ROWS]
        drawn = weights > 0
        if drawn.any():
            yield (rows if drawn.all() else rows[drawn]).astype(np.float64, copy=False), weights[drawn]


class Stream:
    """Moments of batches as they come, so that features need not be kept.

    >>> stream = Stream()
    >>> for batch in np.eye(3), np.ones((2, 3)):
    ...     stream.update(batch)
    >>> stream.moments().count
    5
    """

    def __init__(self) -> None:
        self._parts: list[Moments] = []
        self._waiting: list[np.ndarray] = []

    def update(self, features: np.ndarray) -> None:
        """One batch, (B, D), B >= 0. It is copied: the array may be used again."""
        self._waiting.append(features.astype(np.float64))
        if sum(map(len, self._waiting)) >= MERGE_ROWS:
            self._parts = [self.moments()]
            self._waiting = []

    def moments(self) -> Moments:
        """Of all batches so far; at least one row must have come."""
        rows = np.concatenate(self._waiting) if self._waiting else np.empty((0, 0))
        return reduce(Moments.__add__, [*self._parts, *([Moments.of(rows)] if len(rows) else [])])


def over_ranks(moments: Moments, device: str = "cpu") -> Moments:
    """The moments of all ranks' features together, equal on every rank; in a single process, what was given.

    device: where the process group exchanges tensors ("cuda" for NCCL). It must have float64, which MPS lacks. Two sums
    over ranks: no rank holds more than one scatter besides its own.
    """
    if not ranks.are_several():
        return moments
    head = _summed(np.append(moments.mean * moments.count, moments.count), device)
    count, mean = round(float(head[-1])), head[:-1] / head[-1]
    shift = moments.mean - mean
    return Moments(count, mean, _summed(moments.scatter + moments.count * np.outer(shift, shift), device))


def _summed(array: np.ndarray, device: str) -> np.ndarray:
    import torch

    return ranks.total(torch.from_numpy(array).to(device)).cpu().numpy()
