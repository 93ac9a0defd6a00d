"""Handwritten digits by a deep convolutional GAN.

cost      59 s of training on one CPU core
score     fd 10 (floor 10.3), accuracy 0.991, coverage 1
command   figment train dcgan --data digits --out dcgan --minutes 1
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """One command, with the family's defaults."""
    return digits("dcgan", "--minutes 1")
