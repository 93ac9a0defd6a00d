"""Handwritten digits by a progressively grown GAN.

cost      110 s of training on one CPU core
score     fd 15.5 (floor 10.3), accuracy 0.963, coverage 0.99
command   figment train progan --data digits --out progan --minutes 2 --family.stage-images 10000
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("progan", "--minutes 2 --family.stage-images 10000")
