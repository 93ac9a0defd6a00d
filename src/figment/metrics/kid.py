"""Kernel distance (KID): squared maximum mean discrepancy of features under a cubic kernel, without bias.

E k(x, x') + E k(y, y') - 2 E k(x, y), k(a, b) = (a.b / D + 1)^3; 0 for equal distributions, and as often below 0 as
above it there. Bińkowski et al., "Demystifying MMD GANs" (2018), section 3. Unlike `fd` its mean does not depend on how
many pictures there are, which makes it the one to use for few. Published numbers are in Inception features.

The value is the exact estimate from all pairs of different pictures, block by block. The usual mean over 100 random
subsets of 1,000 estimates the same quantity with more noise, and the deviation over overlapping subsets is no interval;
`subset_values` gives them for comparison with published numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from figment.core.types import Sample
from figment.metrics import _samples

HIGHER_IS_BETTER = False
NEEDS: tuple[str, ...] = ()
PROTOCOL = "k=(a.b/D + 1)^3, all pairs of different pictures, unbiased, float64"

# Numbers in one block of kernel values: 64 MB of float64.
_BLOCK = 2**23


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`kid`, in units of the kernel; multiply by 1,000 for some papers' tables.

    Raises DataError where a side has fewer than 2 pictures.
    """
    x, y = _samples.features("kid", at_least=2, real=real, fake=fake)
    return {"kid": unbiased(x, y)}


def resamples(
    *, real: Sample, fake: Sample, rng: np.random.Generator, draws: int
) -> dict[str, tuple[float, np.ndarray]]:
    """`kid`, and what other samples of the same sizes might have given, (draws,): a bootstrap of its linear part.

    A plain bootstrap repeats pictures, and the k(x, x) of repeats biases it. Each picture's own share of the estimate
    (its Hájek projection; Hoeffding 1948) is resampled instead. A picture sits in both arguments of the kernel, hence
    the factor 2. Where the distributions are equal the linear part vanishes, and the spread is too wide rather than too
    narrow.
    """
    x, y = _samples.features("kid", at_least=2, real=real, fake=fake)
    shares = _shares(x, y)
    value = float(sum(share.mean() for share in shares))
    drawn = np.full(draws, value)
    for share in shares:
        counts = rng.multinomial(len(share), np.full(len(share), 1 / len(share)), size=draws)
        drawn += 2 * (counts @ share / len(share) - share.mean())
    return {"kid": (value, drawn)}


def unbiased(x: np.ndarray, y: np.ndarray) -> float:
    """x (N, D), y (M, D) -> the unbiased estimate from all pairs."""
    return float(sum(share.mean() for share in _shares(x, y)))


def subset_values(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator, *, num: int = 100, size: int = 1000
) -> np.ndarray:
    """(num,) unbiased estimates, each from `size` pictures of x (N, D) and of y (M, D), drawn without replacement.

    Where a side has fewer than `size` pictures the subsets are as large as the smaller side.
    """
    size = min(size, len(x), len(y))
    values = np.empty(num)
    for index in range(num):
        values[index] = unbiased(rng.choice(x, size, replace=False), rng.choice(y, size, replace=False))
    return values


def _shares(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each of x (N, D) and y (M, D) contributes: (N,) and (M,), whose two means add up to the estimate.

    For x_i: mean of k(x_i, x_j) over j != i, less the mean of k(x_i, y_j) over all j; the same for y with x.
    """
    across_x, across_y = _sums_across(x, y)
    return (
        _sums_within(x) / (len(x) - 1) - across_x / len(y),
        _sums_within(y) / (len(y) - 1) - across_y / len(x),
    )


def _sums_across(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of k(x_i, y_j) over j, (N,), and over i, (M,)."""
    row_sums, column_sums = np.empty(len(x)), np.zeros(len(y))
    for rows in _blocks(x, y):
        kernel = _kernel(x[rows], y)
        row_sums[rows] = kernel.sum(axis=1)
        column_sums += kernel.sum(axis=0)
    return row_sums, column_sums


def _sums_within(x: np.ndarray) -> np.ndarray:
    """Sums of k(x_i, x_j) over j != i, (N,); the kernel is symmetric, so half of it is enough."""
    sums = -((np.square(x).mean(axis=1) + 1) ** 3)
    for rows in _blocks(x, x):
        kernel = _kernel(x[rows], x[rows.start :])
        sums[rows] += kernel.sum(axis=1)
        sums[rows.stop :] += kernel[:, rows.stop - rows.start :].sum(axis=0)
    return sums


def _blocks(x: np.ndarray, y: np.ndarray) -> Iterator[slice]:
    size = max(1, _BLOCK // len(y))
    return (slice(start, min(start + size, len(x))) for start in range(0, len(x), size))


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """k(x_i, y_j), (N, M)."""
    inner = x @ y.T
    inner /= x.shape[1]
    inner += 1
    kernel = inner * inner
    kernel *= inner
    return kernel
