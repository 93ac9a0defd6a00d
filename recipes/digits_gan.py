"""Handwritten digits by a generative adversarial network.

cost      ? s of training on one CPU core
score     ?
command   figment train gan --data digits --out gan --minutes 2
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("gan", "--minutes 2")
