"""Handwritten digits by rectified flow, with its defaults.

cost      66 s of training on two CPU cores
score     fd 10.1 (floor 10.3), accuracy 1
command   figment train flow --data digits --out flow --steps 2500
"""

from __future__ import annotations

from recipes.run import Run


def recipe() -> Run:
    """The digits that come with scikit-learn; seeds in order, nothing picked."""
    return Run(
        commands=(
            "figment data build digits: --out digits",
            "figment train flow --data digits --out flow --steps 2500",
            "figment sample flow --num 80 --out flow-digits.png",
            "figment eval flow --data digits",
        ),
        picture="flow-digits.png",
    )
