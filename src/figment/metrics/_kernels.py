"""Means of a kernel over all pairs of pictures, tile by tile, and how such means spread.

Memory is a few tiles, however many pictures there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

# (N, D), (M, D), both float64 -> (N, M)
Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Rows and columns of one tile of kernel values: 32 MB of float64.
TILE = 2048


@dataclass(frozen=True)
class Sums:
    """Of each picture's kernel values: with the others of its side, (N,) and (M,), and with all of the other side."""

    within_x: np.ndarray
    within_y: np.ndarray
    across_x: np.ndarray
    across_y: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, kernel: Kernel) -> Sums:
        """x (N, D), y (M, D), float32 or float64."""
        return cls(_within(x, kernel), _within(y, kernel), *_across(x, y, kernel))

    def shares(self) -> tuple[np.ndarray, np.ndarray]:
        """What each picture contributes, (N,) and (M,): their two means add up to the unbiased discrepancy.

        For x_i: mean of k(x_i, x_j) over j != i, less the mean of k(x_i, y_j) over all j; the same for y with x.
        """
        num_x, num_y = len(self.within_x), len(self.within_y)
        return (
            self.within_x / (num_x - 1) - self.across_x / num_y,
            self.within_y / (num_y - 1) - self.across_y / num_x,
        )


def linear_spread(shares: tuple[np.ndarray, np.ndarray], rng: np.random.Generator, draws: int) -> np.ndarray:
    """(draws,) deviations of an unbiased discrepancy over other samples of the same sizes: its linear part, resampled.

    A plain bootstrap repeats pictures, and the k(x, x) of repeats biases it. Each picture's own share of the estimate
    (its Hájek projection; Hoeffding 1948) is resampled instead. A picture sits in both arguments of the kernel, hence
    the factor 2. Where the distributions are equal the linear part vanishes, and the spread is too wide rather than too
    narrow.
    """
    deviations = np.zeros(draws)
    for share in shares:
        counts = rng.multinomial(len(share), np.full(len(share), 1 / len(share)), size=draws)
        deviations += 2 * (counts @ share / len(share) - share.mean())
    return deviations


def _across(x: np.ndarray, y: np.ndarray, kernel: Kernel) -> tuple[np.ndarray, np.ndarray]:
    """Sums of k(x_i, y_j) over j, (N,), and over i, (M,)."""
    row_sums, column_sums = np.zeros(len(x)), np.zeros(len(y))
    for rows in _parts(len(x)):
        block = _float64(x[rows])
        for columns in _parts(len(y)):
            values = kernel(block, _float64(y[columns]))
            row_sums[rows] += values.sum(axis=1)
            column_sums[columns] += values.sum(axis=0)
    return row_sums, column_sums


def _within(x: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Sums of k(x_i, x_j) over j != i, (N,); the kernel is symmetric, so half of the tiles are enough."""
    sums = np.zeros(len(x))
    for rows in _parts(len(x)):
        block = _float64(x[rows])
        values = kernel(block, block)
        np.fill_diagonal(values, 0)
        sums[rows] += values.sum(axis=1)
        for columns in _parts(len(x), rows.stop):
            values = kernel(block, _float64(x[columns]))
            sums[rows] += values.sum(axis=1)
            sums[columns] += values.sum(axis=0)
    return sums


def _parts(count: int, start: int = 0) -> Iterator[slice]:
    return (slice(low, min(low + TILE, count)) for low in range(start, count, TILE))


def _float64(rows: np.ndarray) -> np.ndarray:
    return rows.astype(np.float64, copy=False)
