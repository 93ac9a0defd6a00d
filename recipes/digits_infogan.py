"""Handwritten digits by InfoGAN.

cost      71 s of training on one CPU core
score     fd 16.2 (floor 10.3), coverage 1
command   figment train infogan --data digits --out infogan --minutes 1
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("infogan", "--minutes 1")
