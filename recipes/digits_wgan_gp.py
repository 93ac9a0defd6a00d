"""Handwritten digits by a Wasserstein GAN with gradient penalty.

cost      164 s of training on one CPU core
score     fd 10.4 (floor 10.3), accuracy 0.991, coverage 1
command   figment train wgan_gp --data digits --out wgan_gp --minutes 2
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("wgan_gp", "--minutes 2")
