"""Make a blurred picture sharp: details that the model holds likely, and that blur to the picture given.

The blur is a Gaussian one of known width; `enhance` estimates it. Zero-shot: any model that denoises can do it
(`_posterior`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from figment.core.config import check_range
from figment.edits import Answer, Request
from figment.edits._operators import Blur
from figment.edits._posterior import LEVEL, ROUNDING, answered, restored

NEEDS = (("Denoises",),)
INPUTS = ("image",)


@dataclass(frozen=True)
class Config:
    """What blurred the picture."""

    sigma: float = 1.5
    """Standard deviation of the blur, in pixels."""
    noise: float = 0.0
    """Standard deviation of the noise that came after it, in grey levels of 0 to 255."""

    def __post_init__(self):
        check_range("edit.sigma", self.sigma, 0.1, 20)
        check_range("edit.noise", self.noise, 0, 255)


def edit(model: Any, request: Request, config: Config) -> Answer:
    """The picture, sharp."""
    # A deconvolution blows up the smallest error: at least that of rounding to whole levels has to be reckoned with.
    noise = max(config.noise, ROUNDING) * LEVEL
    blur = partial(Blur, sigma=config.sigma)
    return answered(restored(model, request, request.images[0], blur, noise=noise))
