"""Fréchet distance between the features of real and generated pictures, each taken for a Gaussian.

|mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)), with unbiased covariances (ddof = 1) and nothing added to their
diagonals. Heusel et al., "GANs Trained by a Two Time-Scale Update Rule" (2017), equation 6. It is called FID only in
the features of the original Inception network.

The estimate is biased upwards, by about (D + D (D + 1) / 4) (1/N + 1/M) where both are the same unit Gaussian:
compare at equal counts only, and with the floor; `fd_infinite` estimates it without that bias.

No square root of a matrix is taken, so the answer cannot be complex. Rounding of a singular covariance costs 1e-8 of
the traces at most (measured, D = 512), so nearly equal samples may score as much below 0.
"""

from __future__ import annotations

import numpy as np

from figment.core.types import Sample
from figment.metrics import _frechet, _samples

HIGHER_IS_BETTER = False
NEEDS: tuple[str, ...] = ()
PROTOCOL = "ddof=1, nothing added to covariances, float64"
RESERVED = {"inception": "FID"}  # what it may be called in the features of which extractor


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`fd`, in squared feature units.

    Raises DataError where a side has fewer than 2 pictures.
    """
    return {"fd": _frechet.between(*_samples.given("fd", at_least=2, real=real, fake=fake))}


def resamples(
    *, real: Sample, fake: Sample, rng: np.random.Generator, draws: int
) -> dict[str, tuple[float, np.ndarray]]:
    """`fd`, and its values for rows of both sides drawn with replacement, (draws,)."""
    x, y = _samples.given("fd", at_least=2, real=real, fake=fake)
    return {"fd": _frechet.resampled(x, y, rng, draws)}
