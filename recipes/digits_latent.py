"""Handwritten digits by a flow over the codes of an autoencoder.

cost      110 s of training on one CPU core
score     fd 9.66 (floor 10.3), accuracy 0.999, coverage 1
command   figment train latent --data digits --out latent --family.autoencoder codes --minutes 1
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """Two trainings: the first makes what the second builds on."""
    return digits(
        "latent",
        "--family.autoencoder codes --minutes 1",
        "figment train autoencoder --data digits --out codes --minutes 1",
    )
