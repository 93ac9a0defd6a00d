"""Nearest training picture: whether generated pictures repeat the training set.

d(x) is the distance in feature space from x to its nearest training picture. Held-out real pictures say how near to
the training set an honest picture comes: the three samples of Meehan, Chaudhuri and Dasgupta, "A Non-Parametric Test to
Detect Data-Copying in Generative Models" (2020).

- `nearest`, mean of d over generated pictures / mean of d over held-out ones. 1: as far from the training set as unseen
  pictures are. 0: copies. Pictures that look like nothing known exceed 1, so read it beside precision.
- `novel`, the share of generated pictures whose d exceeds the 1% quantile of d over held-out ones. 0.99 is expected of
  unseen pictures; what is missing from that is the share of near copies, which a mean can hide. From 99 held-out
  pictures on: of m fewer the quantile is the smallest d, and m / (m + 1) is expected.
"""

from __future__ import annotations

import numpy as np

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.metrics import _neighbours, _samples

HIGHER_IS_BETTER = True
NEEDS = ("train",)
QUANTILE = 0.01
PROTOCOL = (
    f"Euclidean distance to the nearest training picture, copies below the {QUANTILE:.0%} quantile (Weibull), float64"
)


def score(*, real: Sample, fake: Sample, train: Sample) -> dict[str, float]:
    """`nearest`, 0 or more, and `novel`, in [0, 1]; real: held out of training, train: what the model learned from.

    Raises DataError where a side is empty or every held-out picture is a copy of a training picture.
    """
    return {name: float(values.mean()) for name, values in items(real=real, fake=fake, train=train).items()}


def items(*, real: Sample, fake: Sample, train: Sample) -> dict[str, np.ndarray]:
    """What the scores are means of: `nearest` and `novel`, (num_fake,) each."""
    return _items(*_distances(real, fake, train))


def resamples(
    *, real: Sample, fake: Sample, train: Sample, rng: np.random.Generator, draws: int
) -> dict[str, tuple[float, np.ndarray]]:
    """`nearest` and `novel`, and their values for rows of both sides drawn with replacement, (draws,); `train` stays.

    Distances are drawn again and not computed again: each depends on its own picture and on the training set alone.
    """
    held_out, generated = _distances(real, fake, train)
    drawn: dict[str, list[float]] = {}
    for _ in range(draws):
        for name, values in _items(_drawn(held_out, rng), rng.choice(generated, len(generated))).items():
            drawn.setdefault(name, []).append(float(values.mean()))
    values = _items(held_out, generated)
    return {name: (float(values[name].mean()), np.array(others)) for name, others in drawn.items()}


def _distances(real: Sample, fake: Sample, train: Sample) -> tuple[np.ndarray, np.ndarray]:
    """d of the held-out pictures and of the generated ones."""
    x, y, t = _samples.features("nearest", at_least=1, real=real, fake=fake, train=train)
    t, x, y = _neighbours.centred(t, x, y)
    held_out, generated = _neighbours.nearest_distances(x, t), _neighbours.nearest_distances(y, t)
    if not held_out.any():
        raise DataError(
            f"nearest compares with unseen pictures, but all {len(x)} held-out ones are copies of training pictures: "
            "split the dataset again"
        )
    return held_out, generated


def _items(held_out: np.ndarray, generated: np.ndarray) -> dict[str, np.ndarray]:
    """Weibull's quantile: below the k-th of m pictures the share k / (m + 1) of unseen ones is expected."""
    line = np.quantile(held_out, QUANTILE, method="weibull")
    return {"nearest": generated / held_out.mean(), "novel": (generated > line).astype(np.float64)}


def _drawn(held_out: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Drawn with replacement, until one is no copy: their mean is a divisor."""
    while not (again := rng.choice(held_out, len(held_out))).any():
        pass
    return again
