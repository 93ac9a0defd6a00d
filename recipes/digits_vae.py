"""Handwritten digits by a variational autoencoder, with its defaults.

cost      47 s of training on two CPU cores
score     fd 19.5 (floor 10.3), accuracy 0.984
command   figment train vae --data digits --out vae --steps 3000
"""

from __future__ import annotations

from recipes.run import Run


def recipe() -> Run:
    """The digits that come with scikit-learn; seeds in order, nothing picked."""
    return Run(
        commands=(
            "figment data build digits: --out digits",
            "figment train vae --data digits --out vae --steps 3000",
            "figment sample vae --num 80 --out vae-digits.png",
            "figment eval vae --data digits",
        ),
        picture="vae-digits.png",
    )
