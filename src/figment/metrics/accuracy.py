"""Accuracy: how often the judge sees in a generated picture the class that was asked for.

The share of pictures whose largest logit is that of the asked label; pictures without a label are not counted. The
floor, the same for training pictures, shows what the judge itself can do. High accuracy says nothing of variety.
"""

from __future__ import annotations

import numpy as np

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.metrics import _samples

HIGHER_IS_BETTER = True
NEEDS = ("logits", "labels")
PROTOCOL = "largest logit against the asked label"


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`accuracy`, in [0, 1]. `real` is not looked at: the asked labels are the reference.

    Raises DataError where logits are missing, no label was asked for, or a label is not one of the judge's classes.
    """
    return {"accuracy": float(items(real=real, fake=fake)["accuracy"].mean())}


def items(*, real: Sample, fake: Sample) -> dict[str, np.ndarray]:
    """What the score is a mean of: 1 where the judge agrees, else 0, for each generated picture with a label."""
    logits = _samples.logits("accuracy", fake)
    known = np.zeros(len(fake), dtype=bool) if fake.labels is None else fake.labels >= 0
    if fake.labels is None or not known.any():
        raise DataError("accuracy needs generated pictures that were asked for by label, and there is none")
    if fake.labels.max() >= logits.shape[1]:
        raise DataError(f"accuracy: label {fake.labels.max()} was asked for of a judge of {logits.shape[1]} classes")
    return {"accuracy": (logits.argmax(axis=1) == fake.labels)[known].astype(np.float64)}
