"""Fréchet distance between the features of real and generated pictures, each taken for a Gaussian.

|mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)), with unbiased covariances (ddof = 1) and nothing added to their
diagonals. Dowson and Landau (1982); Heusel et al., "GANs Trained by a Two Time-Scale Update Rule" (2017),
equation 6. It is called FID only in the features of the original Inception network.

The estimate is biased upwards, by about (D + D (D + 1) / 4) (1/N + 1/M) where both are the same unit Gaussian:
compare at equal counts only, and with the floor.

For any factors F' F = S the trace of (S_1 S_2)^(1/2) is the sum of the singular values of F_1 F_2'. So no square root
of a matrix is taken: the answer cannot be complex, and needs no correction where a covariance is singular. Rounding of
a singular covariance costs 1e-8 of the traces at most (measured, D = 512), so nearly equal samples may score as much
below 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from figment.core.types import Sample
from figment.metrics import _samples

HIGHER_IS_BETTER = False
NEEDS: tuple[str, ...] = ()
PROTOCOL = "ddof=1, nothing added to covariances, float64"


@dataclass(frozen=True)
class Moments:
    """Count, mean (D,) and scatter (D, D) of features, the sum of centred outer products; float64.

    The sum of two is the moments of both sets together, without the cancellation of raw second moments. Feed streams in
    batches of 512 or more: merging costs as much as 512 rows.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Moments:
        """(N, D), N >= 1."""
        features = features.astype(np.float64, copy=False)
        mean = features.mean(axis=0)
        deviations = features - mean
        return cls(len(features), mean, deviations.T @ deviations)

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


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`fd`, in squared feature units.

    Raises DataError where a side has fewer than 2 pictures.
    """
    x, y = _samples.features("fd", at_least=2, real=real, fake=fake)
    return {"fd": _distance(_gaussian(x), _gaussian(y))}


def resamples(
    *, real: Sample, fake: Sample, rng: np.random.Generator, draws: int
) -> dict[str, tuple[float, np.ndarray]]:
    """`fd`, and its values for rows of both sides drawn with replacement, (draws,).

    A row that is drawn three times counts three times: a third less work than to repeat it.
    """
    x, y = _samples.features("fd", at_least=2, real=real, fake=fake)
    drawn = np.empty(draws)
    for draw in range(draws):
        again = (_gaussian(side, rng.multinomial(len(side), np.full(len(side), 1 / len(side)))) for side in (x, y))
        drawn[draw] = _distance(*again)
    return {"fd": (_distance(_gaussian(x), _gaussian(y)), drawn)}


def frechet(mean_1: np.ndarray, covariance_1: np.ndarray, mean_2: np.ndarray, covariance_2: np.ndarray) -> float:
    """Distance of two Gaussians from means (D,) and covariances (D, D), such as published statistics."""
    return _distance((mean_1, _factor(covariance_1)), (mean_2, _factor(covariance_2)))


def _distance(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> float:
    """Each a mean (D,) and a factor (R, D) of the covariance."""
    (mean_1, factor_1), (mean_2, factor_2) = first, second
    root_trace = np.linalg.svd(factor_1 @ factor_2.T, compute_uv=False).sum()
    shift = mean_1 - mean_2
    return float(shift @ shift + np.square(factor_1).sum() + np.square(factor_2).sum() - 2 * root_trace)


def _gaussian(features: np.ndarray, counts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and a factor (R, D) of the covariance of features (N, D), row i taken counts[i] times.

    Of D rows or fewer the centred rows are themselves a factor, smaller and more accurate than the covariance's.
    """
    if counts is None:
        counts = np.ones(len(features))
    drawn = counts > 0
    weights, rows = counts[drawn], features[drawn]
    mean = weights @ rows / weights.sum()
    rows -= mean
    rows *= np.sqrt(weights / (weights.sum() - 1))[:, None]
    return mean, rows if len(rows) <= rows.shape[1] else _factor(rows.T @ rows)


def _factor(covariance: np.ndarray) -> np.ndarray:
    """F (R, D) with F' F = covariance (D, D): by Cholesky, or by eigenvectors where it is singular, as after a ReLU."""
    try:
        return np.linalg.cholesky(covariance).T
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        return (vectors * np.sqrt(np.maximum(values, 0))).T
