"""Handwritten digits by a generative adversarial network.

cost      128 s of training on one CPU core
score     fd 11.5 (floor 10.3), accuracy 0.991, coverage 1
command   figment train gan --data digits --out gan --minutes 2
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("gan", "--minutes 2")
