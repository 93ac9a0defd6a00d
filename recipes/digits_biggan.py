"""Handwritten digits by BigGAN.

cost      195 s of training on one CPU core
score     fd 15.6 (floor 10.3), accuracy 0.978, coverage 0.975
command   figment train biggan --data digits --out biggan --minutes 2
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("biggan", "--minutes 2")
