"""Fréchet distance for infinitely many pictures: `fd` of growing subsets, extrapolated.

The bias of `fd` is about c / N and so depends on the generator as well as on N: at equal counts one generator may beat
another by its bias. `fd` is computed for 15 sizes, each from a fresh random subset, and the intercept of the straight
line through (1/N, fd) is taken. Chong and Forsyth, "Effectively Unbiased FID and Inception Score" (2020).

- `fd_infinite`: subsets of the generated pictures only, as in the paper. The bias of the real side's count remains.
- `fd_infinite_both`: subsets of both sides, smaller together. What `fd` estimates, without the bias of either count.

Sizes go up to all pictures from 5,000 or a tenth, whichever is less, but from two pictures a feature at least. Where
half of the pictures are fewer than that they go from half of them, and the line is a poor one.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from figment.core.types import Sample
from figment.metrics import _frechet, _samples

HIGHER_IS_BETTER = False
NEEDS: tuple[str, ...] = ()
NUM_SIZES = 15
LEAST_SIZE = 5000
LEAST_PICTURES = 20
PROTOCOL = (
    f"least squares in 1/N over {NUM_SIZES} sizes, one random subset each, seed 0; interval with the standard error of "
    "the intercept; ddof=1, nothing added to covariances, float64"
)
RESERVED = {"inception": "FID-infinity"}  # what it may be called in the features of which extractor


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`fd_infinite` and `fd_infinite_both`, in squared feature units; either may be negative.

    Raises DataError where a side has fewer than 20 pictures.
    """
    x, y = _samples.given("fd_infinite", at_least=LEAST_PICTURES, real=real, fake=fake)
    return {name: intercept for name, (intercept, _) in _fits(x, y).items()}


def resamples(
    *, real: Sample, fake: Sample, rng: np.random.Generator, draws: int
) -> dict[str, tuple[float, np.ndarray]]:
    """Both scores, and (draws,) values about them, spread as `fd` of all pictures and as the line's own error.

    The two hardly depend on each other: one comes from which pictures there are, the other from which subsets of them.
    A bootstrap of the whole extrapolation would take fifteen times as long.
    """
    x, y = _samples.given("fd_infinite", at_least=LEAST_PICTURES, real=real, fake=fake)
    _, drawn = _frechet.resampled(x, y, rng, draws)
    return {
        name: (intercept, intercept + drawn - drawn.mean() + error * rng.standard_normal(draws))
        for name, (intercept, error) in _fits(x, y).items()
    }


def extrapolate(sizes: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Sizes (n,) and values (n,), n > 2 -> intercept of the line in 1 / size, and its standard error."""
    design = np.stack([np.ones(len(sizes)), 1 / np.asarray(sizes, dtype=np.float64)], axis=1)
    inverse = np.linalg.inv(design.T @ design)
    line = inverse @ design.T @ values
    variance = np.square(values - design @ line).sum() / (len(sizes) - 2)
    return float(line[0]), float(np.sqrt(variance * inverse[0, 0]))


def _fits(x: np.ndarray, y: np.ndarray) -> dict[str, tuple[float, float]]:
    """Intercept and standard error of both scores for real (N, D) and generated (M, D)."""
    rng = np.random.default_rng(0)
    draws = [partial(_subset, rng, *_ordered(side, rng)) for side in (x, y)]
    shares = np.linspace(max(_least(x), _least(y)), 1, NUM_SIZES)
    whole = _frechet.Gaussian.of(x)
    one_sided = [_frechet.distance(whole, draws[1](share)) for share in shares]
    two_sided = [*(_frechet.distance(draws[0](share), draws[1](share)) for share in shares[:-1]), one_sided[-1]]
    return {
        "fd_infinite": extrapolate(shares * len(y), np.array(one_sided)),
        "fd_infinite_both": extrapolate(shares * len(y), np.array(two_sided)),
    }


def _least(features: np.ndarray) -> float:
    """The smallest subset of (N, D) features that is looked at, as a share of them."""
    count, width = features.shape
    return max(min(LEAST_SIZE, count // 10), min(count // 2, 2 * width)) / count


def _ordered(features: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The features, and an order of them that depends on what they are and not on how they came."""
    direction = rng.standard_normal(features.shape[1]).astype(features.dtype)
    return features, np.argsort(features @ direction, kind="stable")


def _subset(rng: np.random.Generator, features: np.ndarray, order: np.ndarray, share: float) -> _frechet.Gaussian:
    counts = np.zeros(len(features))
    counts[rng.permutation(order)[: round(share * len(features))]] = 1
    return _frechet.Gaussian.of(features, counts)
