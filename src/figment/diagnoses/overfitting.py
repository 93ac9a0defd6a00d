"""Overfitting: the loss on held-out pictures rises while the loss on training pictures falls.

The best moment lies behind, and every further step learns the training pictures by heart.
"""

from __future__ import annotations

import numpy as np

from figment.diagnoses import Evidence, Finding

NEEDS = ("log",)
LIMIT = 1.05  # times the best held-out loss
STALLED = 3  # measurements since


def examine(evidence: Evidence) -> Finding | None:
    """Sick where the last three held-out losses lie above the best one by a twentieth, and the training loss fell."""
    held_out, training = evidence.series.get("validation/loss"), evidence.series.get("train/main/loss")
    if held_out is None or training is None or len(held_out) <= STALLED:
        return None
    best = int(held_out.values.argmin())
    since = held_out.values[best + 1 :]
    if len(since) < STALLED or held_out.values[best] <= 0:
        return None
    figure = float(since[-STALLED:].min() / held_out.values[best])
    before = training.values[training.steps <= held_out.steps[best]][-10:]
    if figure < LIMIT or not len(before) or np.mean(training.values[-10:]) >= np.mean(before):
        return None
    return Finding(
        "overfitting",
        f"the held-out loss was best at step {held_out.steps[best]} and is {figure:.2f} times that now",
        figure,
        LIMIT,
        "add pictures or --train.augment.*, or stop there with --train.patience 3",
    )
