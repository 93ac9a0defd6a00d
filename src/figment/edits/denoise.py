"""Take the noise out of a picture: what may have been there before Gaussian noise was added.

How strong the noise is can be said, or is estimated. Zero-shot: any model that denoises can do it (`_posterior`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from figment.core.config import check_range
from figment.edits import Answer, Request
from figment.edits._estimates import noise_level
from figment.edits._operators import Identity
from figment.edits._posterior import LEVEL, answered, restored

NEEDS = (("Denoises",),)
INPUTS = ("image",)


@dataclass(frozen=True)
class Config:
    """How much noise there is."""

    noise: float | None = None
    """Standard deviation of the noise, in grey levels of 0 to 255; estimated where it is not given."""

    def __post_init__(self):
        if self.noise is not None:
            check_range("edit.noise", self.noise, 0, 1000)


def edit(model: Any, request: Request, config: Config) -> Answer:
    """The picture without noise; the figure `noise_levels` says how much there was."""
    image = request.images[0]
    noise = noise_level(image) if config.noise is None else config.noise
    whole = Identity()
    images = restored(model, request, image, lambda *_: whole, noise=noise * LEVEL)
    return answered(images, figures={"noise_levels": noise})
