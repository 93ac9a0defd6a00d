"""Handwritten digits by a pixel RNN.

cost      124 s of training on one CPU core
score     fd 9.56 (floor 10.3), accuracy 0.983, coverage 1
command   figment train pixel_rnn --data digits --out pixel_rnn --minutes 2
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("pixel_rnn", "--minutes 2")
