"""Handwritten digits by EDM.

cost      72 s of training on one CPU core
score     fd 9.75 (floor 10.3), accuracy 0.999, coverage 1
command   figment train edm --data digits --out edm --minutes 1
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("edm", "--minutes 1")
