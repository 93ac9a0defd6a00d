"""Handwritten digits by an autoencoder with a mixture of Gaussians as its prior.

cost      63 s of training on one CPU core
score     fd 19.8 (floor 10.3), accuracy 0.831, coverage 0.995
command   figment train autoencoder --data digits --out autoencoder --minutes 1
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("autoencoder", "--minutes 1")
