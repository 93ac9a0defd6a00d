"""Handwritten digits by a pixel CNN.

cost      170 s of training on one CPU core
score     fd 10.4 (floor 10.3), accuracy 0.967, coverage 1
command   figment train pixel_cnn --data digits --out pixel_cnn --minutes 2
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("pixel_cnn", "--minutes 2")
