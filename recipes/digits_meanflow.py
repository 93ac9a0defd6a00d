"""Handwritten digits by MeanFlow, in one step each.

cost      123 s of training on one CPU core
score     fd 14.3 (floor 10.3), accuracy 1, coverage 1
command   figment train meanflow --data digits --out meanflow --minutes 2
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("meanflow", "--minutes 2")
