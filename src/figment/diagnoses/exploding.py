"""Exploding penalties and gradients: a figure that should stay level has grown many times over.

Penalties on the slope of a critic or generator (R1, R2, gradient penalty, path length) and norms of gradients are
compared with what they were in the first half of the training.
"""

from __future__ import annotations

import numpy as np

from figment.diagnoses import Evidence, Finding

NEEDS = ("log",)
LIMIT = 30.0  # times
LEAST = 20  # logged steps
PENALTIES = ("r1", "r2", "penalty", "path", "orthogonality")


def examine(evidence: Evidence) -> Finding | None:
    """Sick where the median of the last tenth is 30 times that of the first half, or more."""
    worst, growth = "", 0.0
    for name, series in evidence.of_training(*PENALTIES, "gradient_norm").items():
        if len(series) < LEAST:
            continue
        before, now = (float(np.median(np.abs(series.part(*part)))) for part in ((0, 0.5), (0.9, 1)))
        times = now / max(before, 1e-6)
        if times > growth and (now > 1 or name.endswith("gradient_norm")):
            worst, growth = name, times
    if growth < LIMIT:
        return None
    return Finding(
        "exploding",
        f"{worst.removeprefix('train/')} has grown {growth:.0f} times",
        growth,
        LIMIT,
        "set --train.clip-norm 1, or lower --train.lr",
    )
