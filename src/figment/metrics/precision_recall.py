"""Improved precision and recall: how many generated pictures look real, and how much of the real variety they reach.

Precision is the share of generated pictures inside at least one ball about a real picture; recall is the share of real
pictures inside at least one ball about a generated one. Balls live in feature space and reach to the K-th nearest
neighbour of their own side; the surface belongs to them. 1 is best. Kynkäänniemi et al., "Improved Precision and Recall
Metric for Assessing Generative Models" (2019), equations 1 and 2, with their K = 3.

Of two equal samples neither reaches 1 (compare with the floor), and one far-off real picture has a huge ball:
`density_coverage` suffers less from it.
"""

from __future__ import annotations

import numpy as np

from figment.core.types import Sample
from figment.metrics import _neighbours, _samples

HIGHER_IS_BETTER = True
NEEDS: tuple[str, ...] = ()
TWO_SIDED = True  # an item depends on which pictures the other side has
K = 3
PROTOCOL = f"k={K}, closed balls (<=), float64"


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`precision` and `recall`, in [0, 1].

    Raises DataError where a side has K pictures or fewer.
    """
    return {name: float(inside.mean()) for name, inside in items(real=real, fake=fake).items()}


def items(*, real: Sample, fake: Sample) -> dict[str, np.ndarray]:
    """What the scores are means of, 0 or 1 each: `precision` (num_fake,) and `recall` (num_real,)."""
    x, y = _samples.given("precision_recall", at_least=K + 1, real=real, fake=fake)
    precision, recall = manifold_hits(x, y, k=K, closed=True)
    return {"precision": precision.astype(np.float64), "recall": recall.astype(np.float64)}


def manifold_hits(real: np.ndarray, fake: np.ndarray, *, k: int, closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Which of the fake (M, D) lie in a ball about the real (N, D), (M,) bool; and the reverse, (N,) bool.

    closed: whether the surface belongs to the ball. The paper says yes; the `prdc` package says no.
    """
    centre = _neighbours.middle(real)
    real_radii = _neighbours.ball_radii(real, k, closed=closed, centre=centre)
    fake_radii = _neighbours.ball_radii(fake, k, closed=closed, centre=centre)
    fake_hit, real_hit = np.zeros(len(fake), dtype=bool), np.zeros(len(real), dtype=bool)
    for rows, squared in _neighbours.squared_distances(real, fake, centre=centre):
        fake_hit |= (squared <= real_radii[rows, None]).any(axis=0)
        real_hit[rows] = (squared <= fake_radii).any(axis=1)
    return fake_hit, real_hit
