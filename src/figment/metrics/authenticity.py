"""Authenticity: the share of generated pictures that are no closer to a training picture than its own neighbours are.

A generated picture is authentic if its distance to the nearest training picture t exceeds the distance from t to the
nearest *other* training picture. Alaa et al., "How Faithful is your Synthetic Data?" (2022); times 100 it
is the AuthPct of Stein et al., "Exposing flaws of generative model evaluation metrics" (2023).

0: all copies. Unseen real pictures score about 0.5 or more, depending on counts and dimension, so read it beside its
floor. A generator of noise is authentic too: read it beside `precision`.
"""

from __future__ import annotations

import numpy as np

from figment.core.types import Sample
from figment.metrics import _neighbours, _samples

HIGHER_IS_BETTER = True
NEEDS = ("train",)
ON_REQUEST = True  # by name, or with --metrics all
PROTOCOL = "distance to the nearest training picture > that one's to its nearest other, Euclidean, float64"


def score(*, real: Sample, fake: Sample, train: Sample) -> dict[str, float]:
    """`authenticity`, in [0, 1]. `real` is not looked at; train: what the model learned from.

    Raises DataError where there is no generated picture or fewer than 2 training pictures.
    """
    return {"authenticity": float(items(real=real, fake=fake, train=train)["authenticity"].mean())}


def items(*, real: Sample, fake: Sample, train: Sample) -> dict[str, np.ndarray]:
    """What the score is a mean of: 1 where a generated picture is authentic, else 0, (num_fake,)."""
    (t,) = _samples.given("authenticity", at_least=2, train=train)
    y, t = _samples.given("authenticity", at_least=1, fake=fake, train=train)
    centre = _neighbours.middle(t)
    nearest, squares = _neighbours.nearest(y, t, centre=centre)
    return {"authenticity": (squares > _neighbours.neighbour_squares(t, 1, centre=centre)[nearest]).astype(np.float64)}
