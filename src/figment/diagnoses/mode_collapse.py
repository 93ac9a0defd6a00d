"""Mode collapse: the generator draws a few pictures over and over, and leaves out most of what there is.

Two figures together, since each alone has an innocent reason: the mean distance between two generated pictures (of one
class, where there are classes) over that between two real ones, and coverage, the share of real pictures that have a
generated one near. Blurred but varied pictures have poor coverage; a narrow but sharp choice may still cover.
"""

from __future__ import annotations

import numpy as np

from figment.core.types import Sample
from figment.diagnoses import EARLY, Evidence, Finding
from figment.metrics import density_coverage

NEEDS = ("pictures",)
LIMIT = 0.35  # of the distance between real pictures; a textbook GAN that is half trained shows 0.45 (JOURNAL.md)
COVERAGE = 0.3  # equal distributions exceed it threefold
LEAST = 50
PAIRS = 20_000


def examine(evidence: Evidence) -> Finding | None:
    """Sick where generated pictures are a third as different as real ones, and cover little."""
    real, fake = evidence.real, evidence.fake
    if real is None or fake is None or min(len(real), len(fake)) < LEAST or evidence.seen_images < EARLY:
        return None
    variety = distance(fake) / max(distance(real), 1e-12)
    coverage = density_coverage.score(real=real, fake=fake)["coverage"]
    if variety > LIMIT or coverage > COVERAGE:
        return None
    return Finding(
        "mode_collapse",
        f"two generated pictures differ {variety:.0%} as much as two real ones, and cover {coverage:.0%} of those",
        variety,
        LIMIT,
        "lower --train.lr, or take a family whose critic is held back: wgan_gp, r3gan",
    )


def distance(sample: Sample) -> float:
    """Mean distance in feature space between two pictures of one class, or of any where no classes are known."""
    labels = np.zeros(len(sample), np.int64) if sample.labels is None else sample.labels
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, len(sample), (2, PAIRS))
    alike = (labels[first] == labels[second]) & (first != second)
    apart = sample.features[first[alike]].astype(np.float64) - sample.features[second[alike]]
    return float(np.linalg.norm(apart, axis=1).mean()) if alike.any() else float("nan")
