"""Spatial Fréchet distance: `fd` of features that still know where in the picture something is.

The features of `fd` are means over places, so a face with its mouth above its eyes costs nothing. Here the mean and the
covariance are those of features place by place, (N, P): in the original Inception network the first 7 channels of
mixed_6/conv, 17 x 17 x 7 = 2023 numbers, where the distance is called sFID. Nash et al., "Generating Images with Sparse
Representations" (2021).

It is biased upwards as `fd` is: compare at equal counts only, and with the floor.
"""

from __future__ import annotations

import numpy as np

from figment.core.types import Sample
from figment.metrics import _frechet, _samples

HIGHER_IS_BETTER = False
NEEDS = ("spatial",)
ON_REQUEST = True  # by name, or with --metrics all
PROTOCOL = "features of places, ddof=1, nothing added to covariances, float64"
RESERVED = {"inception": "sFID"}  # what it may be called in the features of which extractor


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`spatial_fd`, in squared feature units.

    Raises DataError where a side has fewer than 2 pictures or no features of places.
    """
    return {"spatial_fd": _frechet.between(*_samples.spatial("spatial_fd", at_least=2, real=real, fake=fake))}


def resamples(
    *, real: Sample, fake: Sample, rng: np.random.Generator, draws: int
) -> dict[str, tuple[float, np.ndarray]]:
    """`spatial_fd`, and its values for rows of both sides drawn with replacement, (draws,)."""
    x, y = _samples.spatial("spatial_fd", at_least=2, real=real, fake=fake)
    return {"spatial_fd": _frechet.resampled(x, y, rng, draws)}
