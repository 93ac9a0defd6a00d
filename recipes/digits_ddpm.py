"""Handwritten digits by DDPM.

cost      60 s of training on one CPU core
score     fd 10.4 (floor 10.3), accuracy 1, coverage 1
command   figment train ddpm --data digits --out ddpm --minutes 1
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("ddpm", "--minutes 1")
