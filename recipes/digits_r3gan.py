"""Handwritten digits by R3GAN.

cost      164 s of training on one CPU core
score     fd 9.91 (floor 10.3), accuracy 0.992, coverage 1
command   figment train r3gan --data digits --out r3gan --minutes 2
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("r3gan", "--minutes 2")
