"""Circles turned into squares, learnt without a single pair: figures not seen before, each beside its translation.

cost      288 s of training on one CPU core
score     none
command   figment train cyclegan --data figures --out cyclegan --steps 1500
"""

from __future__ import annotations

from recipes.run import Run


def recipe() -> Run:
    """Two classes of one dataset. There are no pairs to score it on: look at it."""
    return Run(
        commands=(
            "figment data build shapes:3000 --shapes.figures 1 --shapes.only circle square --out figures",
            "figment train cyclegan --data figures --out cyclegan --steps 1500",
        ),
        picture="cyclegan-shapes.png",
        found="cyclegan/samples/00001500.png",
    )
