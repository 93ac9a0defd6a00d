"""Handwritten digits as a few whole numbers, and what is rebuilt of those: held-out ones, each beside its answer.

cost      45 s of training on one CPU core
score     psnr 27.6
command   figment train vqvae --data digits --out vqvae --steps 1500
"""

from __future__ import annotations

from recipes.run import Run


def recipe() -> Run:
    """It draws nothing new, so it is scored by how near the rebuilt pictures come."""
    return Run(
        commands=(
            "figment data build digits: --out digits",
            "figment train vqvae --data digits --out vqvae --steps 1500",
            "figment eval vqvae --data digits",
        ),
        picture="vqvae-digits.png",
        found="vqvae/samples/00001500.png",
    )
