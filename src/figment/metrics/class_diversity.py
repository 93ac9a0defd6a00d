"""Diversity within classes: how far pictures of one class lie from each other, compared with real ones.

For each class, the mean distance in feature space of two different generated pictures, divided by that of two different
real ones; then the mean over classes. 1: as varied as real pictures. 0: one picture per class, however many classes
there are, which `inception_score` would praise. Noise is varied too, so a value above 1 is no merit: read it beside
`precision`. Odena, Olah and Shlens, "Conditional Image Synthesis With Auxiliary Classifier GANs" (2017), section 4.2,
ask the same of pairs of pictures by MS-SSIM.

Classes with fewer than two labelled pictures on a side are left out.
"""

from __future__ import annotations

import numpy as np

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.metrics import _neighbours, _samples

HIGHER_IS_BETTER = True
NEEDS = ("labels",)
ON_REQUEST = True  # by name, or with --metrics all
PROTOCOL = "mean Euclidean distance of all pairs of a class, ratio to real, mean over classes"


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`class_diversity`, 0 or more.

    Raises DataError where no class has two labelled pictures on both sides, or real ones of a class are all equal.
    """
    return {"class_diversity": float(by_class(real=real, fake=fake).mean())}


def by_class(*, real: Sample, fake: Sample) -> np.ndarray:
    """The ratio of each class that has two pictures on both sides, in the order of labels."""
    return np.array([generated.mean() / held_out.mean() for held_out, generated in _classes(real, fake)])


def resamples(
    *, real: Sample, fake: Sample, rng: np.random.Generator, draws: int
) -> dict[str, tuple[float, np.ndarray]]:
    """`class_diversity`, and what other samples of the same sizes might have given, (draws,).

    A plain bootstrap repeats pictures, and the distance of repeats is 0. Each picture's own mean distance to the others
    is resampled instead; it sits in both places of a pair, hence the factor 2 (Hájek's projection; Hoeffding 1948).
    """
    drawn = []
    for shares in _classes(real, fake):
        held_out, generated = (
            share.mean() + 2 * (_counts(rng, draws, len(share)) @ share / len(share) - share.mean()) for share in shares
        )
        drawn.append(generated / held_out)
    return {"class_diversity": (score(real=real, fake=fake)["class_diversity"], np.mean(drawn, axis=0))}


def _counts(rng: np.random.Generator, draws: int, count: int) -> np.ndarray:
    return rng.multinomial(count, np.full(count, 1 / count), size=draws)


def _classes(real: Sample, fake: Sample) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each class, the mean distances of its real and of its generated pictures to the others, (n,) and (m,)."""
    x, y = _samples.features("class_diversity", at_least=2, real=real, fake=fake)
    found = []
    if real.labels is not None and fake.labels is not None:
        for label in np.intersect1d(real.labels[real.labels >= 0], fake.labels):
            sides = x[real.labels == label], y[fake.labels == label]
            if min(map(len, sides)) >= 2:
                found.append((_mean_distances(sides[0]), _mean_distances(sides[1])))
    if not found:
        raise DataError("class_diversity needs a class with two labelled pictures or more, both real and generated")
    if any(not held_out.any() for held_out, _ in found):
        raise DataError(
            "class_diversity compares with the variety of real pictures, but all those of a class are equal"
        )
    return found


def _mean_distances(points: np.ndarray) -> np.ndarray:
    """(N, D) -> (N,), mean distance of each to the N - 1 others."""
    (points,) = _neighbours.centred(points)
    means = np.empty(len(points))
    for rows, squared in _neighbours.squared_distances(points, points):
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = 0  # rounding leaves a little there
        means[rows] = np.sqrt(squared).sum(axis=1) / (len(points) - 1)
    return means
