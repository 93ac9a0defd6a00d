"""Bits per dimension: how many bits the model needs for one colour value of a held-out picture.

The mean over real pictures of -log2 p(x) / (C H W), p being the model's probability of the 8-bit picture. Lower is
better: a model that knows nothing needs 8. Only families that can state a probability have it. It is a bound where the
family says so. Theis, van den Oord and Bethge, "A Note on the Evaluation of Generative Models" (2016), section 3: it
says little about how good the pictures look, and copies of the training set do not help it.
"""

from __future__ import annotations

import numpy as np

from figment.core.errors import DataError
from figment.core.types import Sample

HIGHER_IS_BETTER = False
NEEDS = ("bits",)
PROTOCOL = "mean over held-out pictures of -log2 p(x) / (C H W)"


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`bits_per_dim`, of `real.bits`. `fake` is not looked at.

    Raises DataError where the model gave no probabilities, or one of them is not finite.
    """
    return {"bits_per_dim": float(items(real=real, fake=fake)["bits_per_dim"].mean())}


def items(*, real: Sample, fake: Sample) -> dict[str, np.ndarray]:
    """What the score is a mean of: `bits_per_dim` (num_real,)."""
    if real.bits is None or not len(real):
        raise DataError("bits_per_dim needs a model that can state the probability of real pictures; this one has not")
    broken = (~np.isfinite(real.bits)).sum()
    if broken:
        raise DataError(
            f"bits_per_dim: the model gives {broken} of {len(real)} held-out pictures no finite probability"
        )
    return {"bits_per_dim": real.bits.astype(np.float64)}
