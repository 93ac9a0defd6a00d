"""What a recipe is: the commands that make a picture and measure what drew it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """commands: `figment ...` lines, given in order in one folder: the dataset, the training, the picture, the scores.
    picture: its name in the gallery, and where they leave it there, unless `found` says where."""

    commands: tuple[str, ...]
    picture: str
    found: str = ""


def digits(family: str, training: str, *before: str) -> Run:
    """The digits that come with scikit-learn, drawn by a family: seeds in order, nothing picked.

    training: what stands behind `figment train FAMILY --data digits --out FAMILY`. before: commands that it needs.
    """
    picture = f"{family}-digits.png"
    return Run(
        commands=(
            "figment data build digits: --out digits",
            *before,
            f"figment train {family} --data digits --out {family} {training}",
            f"figment sample {family} --num 80 --out {picture}",
            f"figment eval {family} --data digits",
        ),
        picture=picture,
    )
