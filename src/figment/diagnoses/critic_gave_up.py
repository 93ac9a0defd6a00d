"""A critic that has given up: it says the same of real and generated pictures, from the start, and so teaches nothing.

A perfect generator would have the same effect, which is why pictures that cover the real ones acquit it.
"""

from __future__ import annotations

import numpy as np

from figment.diagnoses import Evidence, Finding
from figment.metrics import density_coverage

NEEDS = ("log",)
LIMIT = 0.02  # between the mean logits of real and generated pictures
LEAST = 20  # logged steps
COVERAGE = 0.5


def examine(evidence: Evidence) -> Finding | None:
    """Sick where real and generated pictures have had the same logits throughout the second half of the training."""
    for name, real in evidence.of_training("real_logit").items():
        fake = evidence.series.get(name.replace("real_logit", "fake_logit"))
        if fake is None or min(len(real), len(fake)) < LEAST or _covers(evidence):
            continue
        figure = float(np.quantile(np.abs(real.part(0.5, 1) - fake.part(0.5, 1)), 0.9))
        if figure < LIMIT:
            return Finding(
                "critic_gave_up",
                f"the critic says the same of real and generated pictures: their logits differ by {figure:.2g}",
                figure,
                LIMIT,
                "raise --train.lr, lower the weight of its penalty, or take a larger --scale",
            )
    return None


def _covers(evidence: Evidence) -> bool:
    real, fake = evidence.real, evidence.fake
    if real is None or fake is None:
        return False
    return density_coverage.score(real=real, fake=fake)["coverage"] > COVERAGE
