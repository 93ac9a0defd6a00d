"""Memorisation-informed Fréchet distance: `fd`, divided by how near generated pictures are to training ones.

fd / s where s < 0.1, else fd; s is the mean over generated pictures of the smallest cosine distance to a training
picture, min_t 1 - |<x, t>| / (|x| |t|). A generator that copies its training set has a small `fd` and a tiny s. This is
MiFID: Bai et al., "On Training Sample Memorization" (2021).

The threshold is that of the original Inception features. Where all features point in nearly one direction, as of a
small judge they may, honest pictures pass it too: read it beside its floor, and `nearest` and `authenticity`, which
measure copies against held-out and training pictures instead of a constant.
"""

from __future__ import annotations

import numpy as np

from figment.core.types import Sample
from figment.metrics import _frechet, _samples

HIGHER_IS_BETTER = False
NEEDS = ("train",)
ON_REQUEST = True  # by name, or with --metrics all
THRESHOLD = 0.1
PROTOCOL = f"fd / mean smallest cosine distance to training pictures where below {THRESHOLD}, ddof=1, float64"
RESERVED = {"inception": "MiFID"}  # what it may be called in the features of which extractor

# Added to s, as in the competition's code: a set of exact copies has a finite score.
_EPSILON = 1e-14

# Rows and columns of one tile of cosines: 32 MB of float64.
_TILE = 2048


def score(*, real: Sample, fake: Sample, train: Sample) -> dict[str, float]:
    """`mifid`, in squared feature units; real: held out of training, train: what the model learned from.

    Raises DataError where the real or generated side has fewer than 2 pictures, or there is no training picture.
    """
    x, y, weight = _weighted(real, fake, train)
    return {"mifid": _frechet.between(x, y) / weight}


def resamples(
    *, real: Sample, fake: Sample, train: Sample, rng: np.random.Generator, draws: int
) -> dict[str, tuple[float, np.ndarray]]:
    """`mifid`, and its values for rows of both sides drawn with replacement, (draws,); s stays fixed."""
    x, y, weight = _weighted(real, fake, train)
    value, drawn = _frechet.resampled(x, y, rng, draws)
    return {"mifid": (value / weight, drawn / weight)}


def memorisation_distance(fake: np.ndarray, train: np.ndarray) -> float:
    """s of features (M, D) and (N, D), in [0, 1]; a picture without any feature is at distance 1."""
    nearest = np.ones(len(fake))
    for low in range(0, len(train), _TILE):
        directions = _directions(train[low : low + _TILE])
        for start in range(0, len(fake), _TILE):
            rows = slice(start, start + _TILE)
            cosines = np.abs(_directions(fake[rows]) @ directions.T)
            nearest[rows] = np.minimum(nearest[rows], 1 - cosines.max(axis=1))
    return float(np.maximum(nearest, 0).mean())


def _weighted(real: Sample, fake: Sample, train: Sample) -> tuple[np.ndarray, np.ndarray, float]:
    """Real and generated features, and what their distance is divided by."""
    x, y = _samples.given("mifid", at_least=2, real=real, fake=fake)
    y, t = _samples.given("mifid", at_least=1, fake=fake, train=train)
    distance = memorisation_distance(y, t)
    return x, y, distance + _EPSILON if distance < THRESHOLD else 1.0


def _directions(features: np.ndarray) -> np.ndarray:
    """(N, D) -> rows of length 1, float64; rows of zeros stay."""
    features = features.astype(np.float64)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.divide(features, lengths, out=features, where=lengths > 0)
