"""Maximum mean discrepancy under a Gaussian kernel: the statistic that is called CMMD in the features of CLIP.

1000 (E k(x, x') + E k(y, y') - 2 E k(x, y)), k(a, b) = exp(-|a - b|^2 / (2 sigma^2)), sigma = 10, over all pairs, the
k(x, x) = 1 of a picture with itself among them. Jayasumana et al., "Rethinking FID" (2024), section 4. It assumes no
Gaussian, unlike `fd`, and sees differences of any kind at the scale of sigma.

Pairs of a picture with itself raise the estimate by about 1000 (1 - E k) (1/N + 1/M): compare at equal counts only;
`unbiased` leaves them out. sigma = 10 was chosen for CLIP. In features whose distances are far from 10 the statistic
says little: far below it all pairs look equal, far above it all look different. Features are taken as the extractor
gives them; whether CLIP's are normalised to length 1 is part of the extractor.
"""

from __future__ import annotations

import numpy as np

from figment.core.types import Sample
from figment.metrics import _kernels, _samples

HIGHER_IS_BETTER = False
NEEDS: tuple[str, ...] = ()
ON_REQUEST = True  # by name, or with --metrics all
SIGMA = 10.0
PROTOCOL = f"Gaussian kernel, sigma={SIGMA:g}, times 1000, biased (all pairs), features as extracted, float64"
RESERVED = {"clip": "CMMD"}  # what it may be called in the features of which extractor

_SCALE = 1000.0


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`mmd`, in [0, 2000].

    Raises DataError where a side has no picture.
    """
    x, y = _samples.given("mmd", at_least=1, real=real, fake=fake)
    return {"mmd": _biased(_kernels.Sums.of(x, y, gaussian))}


def resamples(
    *, real: Sample, fake: Sample, rng: np.random.Generator, draws: int
) -> dict[str, tuple[float, np.ndarray]]:
    """`mmd`, and what other samples of the same sizes might have given, (draws,), with the bias added once more.

    As a bootstrap would add it, and as the basic interval expects. The spread is that of the linear part, as in `kid`.
    """
    x, y = _samples.given("mmd", at_least=2, real=real, fake=fake)
    sums = _kernels.Sums.of(x, y, gaussian)
    value, shares = _biased(sums), sums.shares()
    bias = value - _SCALE * sum(share.mean() for share in shares)
    return {"mmd": (value, value + bias + _SCALE * _kernels.linear_spread(shares, rng, draws))}


def unbiased(x: np.ndarray, y: np.ndarray) -> float:
    """x (N, D), y (M, D) -> the estimate from pairs of different pictures, which may be negative."""
    return float(_SCALE * sum(share.mean() for share in _kernels.Sums.of(x, y, gaussian).shares()))


def gaussian(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """k(x_i, y_j), (N, M), of (N, D) and (M, D)."""
    squared = -2 * (x @ y.T)
    squared += np.square(x).sum(axis=1, keepdims=True)
    squared += np.square(y).sum(axis=1)
    np.maximum(squared, 0, out=squared)
    squared /= -2 * SIGMA**2
    return np.exp(squared, out=squared)


def _biased(sums: _kernels.Sums) -> float:
    num_x, num_y = len(sums.within_x), len(sums.within_y)
    within = (sums.within_x.sum() + num_x) / num_x**2 + (sums.within_y.sum() + num_y) / num_y**2
    return float(_SCALE * (within - 2 * sums.across_x.sum() / (num_x * num_y)))
