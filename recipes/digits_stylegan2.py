"""Handwritten digits by StyleGAN2.

cost      117 s of training on one CPU core
score     fd 60.4 (floor 10.3), accuracy 0.991, coverage 0.736
command   figment train stylegan2 --data digits --out stylegan2 --minutes 2
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("stylegan2", "--minutes 2")
