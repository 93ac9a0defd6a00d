"""Handwritten digits by a GAN with an auxiliary classifier.

cost      70 s of training on one CPU core
score     fd 15.4 (floor 10.3), accuracy 0.996, coverage 1
command   figment train acgan --data digits --out acgan --minutes 1
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("acgan", "--minutes 1")
