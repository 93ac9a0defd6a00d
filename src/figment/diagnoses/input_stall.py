"""Input stall: the machine waits for pictures instead of learning from them.

Compared are the time that making a batch takes now, and the time that a whole step took while training.
"""

from __future__ import annotations

from figment.diagnoses import Evidence, Finding

NEEDS = ("loader",)
LIMIT = 0.3  # of a step's time


def examine(evidence: Evidence) -> Finding | None:
    """Sick where making the batch takes three tenths of a step, or more."""
    share = evidence.wait_share
    if share is None or share < LIMIT:
        return None
    return Finding(
        "input_stall",
        f"{share:.0%} of a step goes into making its batch",
        share,
        LIMIT,
        "put the dataset on a local disk, drop --train.augment.rotate, or take a larger --scale: the model is tiny",
    )
