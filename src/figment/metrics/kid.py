"""Kernel distance (KID): squared maximum mean discrepancy of features under a cubic kernel, without bias.

E k(x, x') + E k(y, y') - 2 E k(x, y), k(a, b) = (a.b / D + 1)^3; 0 for equal distributions, and as often below 0 as
above it there. Bińkowski et al., "Demystifying MMD GANs" (2018), section 3. Unlike `fd` its mean does not depend on how
many pictures there are, which makes it the one to use for few. Published numbers are in Inception features.

The value is the exact estimate from all pairs of different pictures, tile by tile. The usual mean over 100 random
subsets of 1,000 estimates the same quantity with more noise, and the deviation over overlapping subsets is no interval;
`subset_values` gives them for comparison with published numbers.
"""

from __future__ import annotations

import numpy as np

from figment.core.types import Sample
from figment.metrics import _kernels, _samples

HIGHER_IS_BETTER = False
NEEDS: tuple[str, ...] = ()
PROTOCOL = "k=(a.b/D + 1)^3, all pairs of different pictures, unbiased, float64"
RESERVED = {"inception": "KID"}  # what it may be called in the features of which extractor


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`kid`, in units of the kernel; multiply by 1,000 for some papers' tables.

    Raises DataError where a side has fewer than 2 pictures.
    """
    x, y = _samples.given("kid", at_least=2, real=real, fake=fake)
    return {"kid": unbiased(x, y)}


def resamples(
    *, real: Sample, fake: Sample, rng: np.random.Generator, draws: int
) -> dict[str, tuple[float, np.ndarray]]:
    """`kid`, and what other samples of the same sizes might have given, (draws,): a bootstrap of its linear part."""
    x, y = _samples.given("kid", at_least=2, real=real, fake=fake)
    shares = _kernels.Sums.of(x, y, cubic).shares()
    value = float(sum(share.mean() for share in shares))
    return {"kid": (value, value + _kernels.linear_spread(shares, rng, draws))}


def unbiased(x: np.ndarray, y: np.ndarray) -> float:
    """x (N, D), y (M, D) -> the unbiased estimate from all pairs."""
    return float(sum(share.mean() for share in _kernels.Sums.of(x, y, cubic).shares()))


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


def cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """k(x_i, y_j), (N, M), of (N, D) and (M, D)."""
    inner = x @ y.T
    inner /= x.shape[1]
    inner += 1
    kernel = inner * inner
    kernel *= inner
    return kernel
