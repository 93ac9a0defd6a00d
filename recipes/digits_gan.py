"""Handwritten digits by a generative adversarial network, at the learning rate that it was measured with.

cost      751 s of training on two CPU cores
score     fd 13 (floor 10.3), accuracy 0.999
command   figment train gan --data digits --out gan --steps 6000 --train.lr 2e-4
"""

from __future__ import annotations

from recipes.run import Run


def recipe() -> Run:
    """The digits that come with scikit-learn; seeds in order, nothing picked."""
    return Run(
        commands=(
            "figment data build digits: --out digits",
            "figment train gan --data digits --out gan --steps 6000 --train.lr 2e-4",
            "figment sample gan --num 80 --out gan-digits.png",
            "figment eval gan --data digits",
        ),
        picture="gan-digits.png",
    )
