"""Classifier accuracy score (CAS): can a classifier learn its classes from generated pictures alone?

A linear classifier (multinomial logistic regression) on the judge's features, standardised, is trained on one side and
tested on the other.

- `cas`: trained on generated pictures, tested on real ones. Low where generated pictures are not what was asked for, or
  lack the variety that a class really has. Ravuri and Vinyals, "Classification Accuracy Score for Conditional
  Generative Models" (2019), section 3, who train a whole network where this trains the last layer of one.
- `cas_reverse`: trained on real pictures, tested on generated ones. High where generated pictures are typical of their
  class, however alike they are.

A generator that draws one perfect picture of each class fails the first and passes the second. Pictures without a label
are left out. The judge's features already tell the classes apart, so read both beside the floor.
"""

from __future__ import annotations

import numpy as np

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.metrics import _samples

HIGHER_IS_BETTER = True
NEEDS = ("labels",)
ON_REQUEST = True  # by name, or with --metrics all
PROTOCOL = "logistic regression on standardised features, L2 with C=1, until converged"

_MOST_ITERATIONS = 10_000


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`cas` and `cas_reverse`, in [0, 1].

    Raises DataError where a side has labels of fewer than two classes.
    """
    return {name: float(values.mean()) for name, values in items(real=real, fake=fake).items()}


def items(*, real: Sample, fake: Sample) -> dict[str, np.ndarray]:
    """What the scores are means of, 0 or 1: `cas`, each labelled real picture, and `cas_reverse`, each generated one.

    The classifiers stay as they are, so intervals made from these hold for the given training pictures.
    """
    x, y = _samples.features("classifier_accuracy", at_least=2, real=real, fake=fake)
    real_side, fake_side = _labelled(x, real, "real"), _labelled(y, fake, "generated")
    return {"cas": _hits(fake_side, real_side), "cas_reverse": _hits(real_side, fake_side)}


def _labelled(features: np.ndarray, sample: Sample, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, D) and labels (n,) of the pictures that have a label."""
    labels = np.full(len(features), -1) if sample.labels is None else sample.labels
    known = labels >= 0
    if len(np.unique(labels[known])) < 2:
        raise DataError(f"classifier_accuracy needs {side} pictures with labels of at least two classes")
    return features[known], labels[known]


def _hits(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """1 for each test picture that the classifier puts into its class, else 0."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_MOST_ITERATIONS))
    return (classifier.fit(*train).predict(test[0]) == test[1]).astype(np.float64)
