"""Memorised training pictures: the generator gives back pictures that it was trained on.

Generated pictures lie nearer to a training picture than held-out ones do, more often than chance allows.
"""

from __future__ import annotations

from figment.diagnoses import Evidence, Finding

NEEDS = ("pictures",)
LIMIT = 0.05  # of the generated pictures


def examine(evidence: Evidence) -> Finding | None:
    """Sick where one generated picture of twenty is a near copy, beyond what chance and the data explain."""
    copies = evidence.copies
    if copies is None or copies.by_chance or copies.share - copies.held_out < LIMIT:
        return None
    return Finding(
        "memorised",
        f"{copies.share:.0%} of the generated pictures are near copies of training pictures",
        copies.share,
        LIMIT,
        "add pictures or --train.augment.*, or train for a shorter time; 'figment compare' shows the copies",
    )
