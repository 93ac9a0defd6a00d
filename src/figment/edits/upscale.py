"""Make a picture larger, 2 to 8 times: details that the model holds likely, and whose average is the picture given.

Made smaller again, by the mean over blocks, an answer is the picture that was given, within half a grey level. Several
answers show what is known and what is invented. Zero-shot: any model that denoises can do it (`_posterior`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from figment.core.config import check_range
from figment.edits import Answer, Request
from figment.edits._operators import BlockMean
from figment.edits._posterior import LEVEL, answered, restored

NEEDS = (("Denoises",),)
INPUTS = ("image",)


@dataclass(frozen=True)
class Config:
    """How much larger, and how far the given pixels can be trusted."""

    factor: int = 2
    """Times as high and wide."""
    noise: float = 0.0
    """Standard deviation of the noise in the picture, in grey levels of 0 to 255."""

    def __post_init__(self):
        check_range("edit.factor", self.factor, 2, 8)
        check_range("edit.noise", self.noise, 0, 255)


def edit(model: Any, request: Request, config: Config) -> Answer:
    """The picture, `factor` times as high and wide."""
    block, noise = BlockMean(config.factor), config.noise * LEVEL
    return answered(restored(model, request, request.images[0], lambda *_: block, factor=config.factor, noise=noise))
