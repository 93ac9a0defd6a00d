"""Handwritten digits by DRAW.

cost      98 s of training on one CPU core
score     fd 16.3 (floor 10.3), accuracy 0.992, coverage 1
command   figment train draw --data digits --out draw --minutes 2
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("draw", "--minutes 2")
