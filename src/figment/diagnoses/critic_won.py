"""A critic that has won: it tells every generated picture from the real ones, so its slope teaches nothing any more.

Its loss lies at the bottom, far below what two players in balance have: 2 log 2 for the logistic game, 2 for the hinge.
A Wasserstein critic measures a distance, which may be any number, and is not judged.
"""

from __future__ import annotations

import numpy as np

from figment.diagnoses import Evidence, Finding

NEEDS = ("log",)
LIMIT = 0.02
LEAST = 20  # logged steps


def examine(evidence: Evidence) -> Finding | None:
    """Sick where the critic's loss has been next to nothing for the last quarter of the training."""
    for name in evidence.of_training("real_logit"):
        loss = evidence.series.get(name.replace("real_logit", "adversarial"))
        if loss is None or len(loss) < LEAST or loss.values.min() < 0:
            continue
        figure = float(np.quantile(loss.part(0.75, 1), 0.75))
        if figure < LIMIT:
            return Finding(
                "critic_won",
                f"the critic's loss is {figure:.2g}: it tells every generated picture from the real ones",
                figure,
                LIMIT,
                "lower --train.lr, or take a family whose critic is held back: wgan_gp, r3gan",
            )
    return None
