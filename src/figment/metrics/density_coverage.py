"""Density and coverage: how thickly generated pictures lie among real ones, and how many real ones have one near.

About each real picture lies a ball that reaches to its K-th nearest real neighbour, without its surface. Density is the
number of (ball, generated picture) hits divided by K times the number of generated pictures; coverage is the share of
balls that are hit. Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models" (2020), section 3,
with their K = 5.

For N real and M generated pictures of one and the same distribution the mean density is 1 and the mean coverage is
1 - prod_{i=1..K} (N - i) / (N + M - i), whatever that distribution is. Density may exceed 1: fakes that crowd where
real pictures are common. Balls are drawn about real pictures only, so one odd fake harms little.
"""

from __future__ import annotations

import numpy as np

from figment.core.types import Sample
from figment.metrics import _neighbours, _samples

HIGHER_IS_BETTER = True
NEEDS: tuple[str, ...] = ()
TWO_SIDED = True  # an item depends on which pictures the other side has
K = 5
PROTOCOL = f"k={K}, open balls (<), float64"


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`density`, 0 or more, and `coverage`, in [0, 1].

    Raises DataError where a side has K pictures or fewer.
    """
    return {name: float(values.mean()) for name, values in items(real=real, fake=fake).items()}


def items(*, real: Sample, fake: Sample) -> dict[str, np.ndarray]:
    """What the scores are means of: `density` (num_fake,), hits / K, and `coverage` (num_real,), 0 or 1."""
    x, y = _samples.given("density_coverage", at_least=K + 1, real=real, fake=fake)
    hits, covered = ball_hits(x, y, k=K, closed=False)
    return {"density": hits / K, "coverage": covered.astype(np.float64)}


def ball_hits(real: np.ndarray, fake: np.ndarray, *, k: int, closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """How many balls about the real (N, D) hold each of the fake (M, D), (M,) int; and which are hit, (N,) bool."""
    centre = _neighbours.middle(real)
    radii = _neighbours.ball_radii(real, k, closed=closed, centre=centre)
    hits, covered = np.zeros(len(fake), dtype=np.int64), np.zeros(len(real), dtype=bool)
    for rows, squared in _neighbours.squared_distances(real, fake, centre=centre):
        inside = squared <= radii[rows, None]
        hits += inside.sum(axis=0)
        covered[rows] = inside.any(axis=1)
    return hits, covered
