"""Fréchet distance within classes: the mean over classes, and the class that is drawn worst.

`fd` of all pictures together is blind to a label that is ignored: cats for dogs and dogs for cats is the same set of
pictures. Here the generated pictures of a class are compared with the real ones of that class only. In the features of
the original Inception network the mean is called intra-FID (iFID); Miyato and Koyama, "cGANs with Projection
Discriminator" (2018).

A class has few pictures, so the upward bias of `fd` is larger by as much: compare at equal counts only, and with the
floor. `by_class` gives the distance of each class.
"""

from __future__ import annotations

import numpy as np

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.metrics import _frechet, _samples

HIGHER_IS_BETTER = False
NEEDS = ("labels",)
ON_REQUEST = True  # by name, or with --metrics all
PROTOCOL = "fd of each class, unweighted mean; ddof=1, nothing added to covariances, float64"
RESERVED = {"inception": "iFID"}  # what the mean may be called in the features of which extractor


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`class_fd`, the mean over classes, and `class_fd_worst`, the largest, in squared feature units.

    Raises DataError where labels are missing, or a class that one side has is less than 2 pictures of the other.
    """
    distances = by_class(real=real, fake=fake).values()
    return {"class_fd": float(np.mean([*distances])), "class_fd_worst": max(distances)}


def by_class(*, real: Sample, fake: Sample) -> dict[int, float]:
    """The distance of each label that occurs."""
    return {label: _frechet.between(x, y) for label, (x, y) in _classes(real, fake).items()}


def resamples(
    *, real: Sample, fake: Sample, rng: np.random.Generator, draws: int
) -> dict[str, tuple[float, np.ndarray]]:
    """Both scores, and their values for rows of each class drawn with replacement, (draws,).

    The worst class stays the one that it is: the largest of several noisy distances would be another quantity.
    """
    classes = _classes(real, fake).values()
    values, drawn = zip(*(_frechet.resampled(x, y, rng, draws) for x, y in classes), strict=True)
    worst = int(np.argmax(values))
    return {
        "class_fd": (float(np.mean(values)), np.mean(drawn, axis=0)),
        "class_fd_worst": (values[worst], drawn[worst]),
    }


def _classes(real: Sample, fake: Sample) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """The real (N, D) and the generated (M, D) features of each label."""
    x, y = _samples.given("class_fd", at_least=2, real=real, fake=fake)
    if real.labels is None or fake.labels is None:
        raise DataError("class_fd compares class by class, and one side has no labels; give a dataset with classes")
    classes = {}
    for label in np.union1d(real.labels[real.labels >= 0], fake.labels[fake.labels >= 0]).tolist():
        sides = x[real.labels == label], y[fake.labels == label]
        if min(map(len, sides)) < 2:
            raise DataError(
                f"class_fd needs 2 real and 2 generated pictures of each class and was given {len(sides[0])} real "
                f"and {len(sides[1])} generated of class {label}; raise --num"
            )
        classes[label] = sides
    if not classes:
        raise DataError("class_fd compares class by class, and no picture has a label")
    return classes
