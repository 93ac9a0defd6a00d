"""Handwritten digits by a generative adversarial network, at the learning rate that it was measured with.

cost      751 s of training on 2 CPU cores
score     fd 13 (floor 10.3), accuracy 0.999
command   figment train gan --data digits --out gan --steps 6000 --train.lr 2e-4
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command."""
    return digits("gan", "--steps 6000 --train.lr 2e-4")
