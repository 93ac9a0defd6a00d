"""Handwritten digits by a progressively grown GAN.

cost      92 s of training on one CPU core
score     fd 31 (floor 10.3), accuracy 0.986, coverage 0.945
command   figment train progan --data digits --out progan --minutes 2 --family.stage-images 10000
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("progan", "--minutes 2 --family.stage-images 10000")
