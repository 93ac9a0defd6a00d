"""Draw a given picture anew, near to it or far from it, towards a label or caption.

Noise is laid over the picture, more for a higher strength, and the model makes a clean one of it (Meng et al. 2022,
"SDEdit"). A rough sketch becomes a picture, a cat a dog in its place. Of each seed comes another answer. Pictures
larger than the model's are drawn as overlapping tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from figment.core.config import check_range
from figment.edits import Answer, Request
from figment.edits._redrawing import redrawn

NEEDS = (("Denoises",), ("Jumps",))
INPUTS = ("image",)


@dataclass(frozen=True)
class Config:
    """How far from the picture."""

    strength: float = 0.6
    """How much is drawn anew: 0 gives the picture back, 0.5 is as much noise as picture, 1 ignores it."""

    def __post_init__(self):
        check_range("edit.strength", self.strength, 0, 1)


def edit(model: Any, request: Request, config: Config) -> Answer:
    """The picture drawn again for each seed: (N, C, H, W)."""
    return Answer(redrawn(model, request, config.strength))
