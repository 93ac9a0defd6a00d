"""What a recipe is: the commands that make a picture and measure what drew it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """commands: `figment ...` lines, given in order in one folder: the dataset, the training, the picture, the scores.
    picture: the file among what they leave there that the gallery shows."""

    commands: tuple[str, ...]
    picture: str
