"""Nearest training picture: whether generated pictures repeat the training set.

d(x) is the distance in feature space from x to its nearest training picture. Held-out real pictures say how near to
the training set an honest picture comes: the three samples of Meehan, Chaudhuri and Dasgupta, "A Non-Parametric Test to
Detect Data-Copying in Generative Models" (2020).

- `nearest`, mean of d over generated pictures / mean of d over held-out ones. 1: as far from the training set as unseen
  pictures are. 0: copies. Pictures that look like nothing known exceed 1, so read it beside precision.
- `novel`, the share of generated pictures whose d exceeds the 1% quantile of d over held-out ones. 0.99 is expected of
  unseen pictures; what is missing from that is the share of near copies, which a mean can hide.
"""

from __future__ import annotations

import numpy as np

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.metrics import _neighbours, _samples

HIGHER_IS_BETTER = True
NEEDS = ("train",)
QUANTILE = 0.01
PROTOCOL = f"Euclidean distance to the nearest training picture, copies below the {QUANTILE:.0%} quantile, float64"


def score(*, real: Sample, fake: Sample, train: Sample) -> dict[str, float]:
    """`nearest`, 0 or more, and `novel`, in [0, 1]; real: held out of training, train: what the model learned from.

    Raises DataError where a side is empty or every held-out picture is a copy of a training picture.
    """
    return {name: float(values.mean()) for name, values in items(real=real, fake=fake, train=train).items()}


def items(*, real: Sample, fake: Sample, train: Sample) -> dict[str, np.ndarray]:
    """What the scores are means of: `nearest` and `novel`, (num_fake,) each."""
    x, y, t = _samples.features("nearest", at_least=1, real=real, fake=fake, train=train)
    t, x, y = _neighbours.centred(t, x, y)
    held_out, generated = _neighbours.nearest_distances(x, t), _neighbours.nearest_distances(y, t)
    if not held_out.any():
        raise DataError(
            f"nearest compares with unseen pictures, but all {len(x)} held-out ones are copies of training pictures: "
            "split the dataset again"
        )
    return {
        "nearest": generated / held_out.mean(),
        "novel": (generated > np.quantile(held_out, QUANTILE)).astype(np.float64),
    }
