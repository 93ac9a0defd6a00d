"""Mend a picture that is dark, flat, blurred or noisy, or all of it: what is wrong is estimated, then taken back.

The range of grey is stretched; blur and noise, as they then are, are what answers are asked to explain. The figures say
what was found. Zero-shot: any model that denoises can do it (`_posterior`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from figment.core.config import check_range
from figment.edits import Answer, Request
from figment.edits._estimates import blur_width, noise_level, tone_range
from figment.edits._operators import Blur, Identity, Operator
from figment.edits._posterior import LEVEL, ROUNDING, answered, restored

NEEDS = (("Denoises",),)
INPUTS = ("image",)

LEAST_BLUR = 0.3  # pixels below which a blur does not matter


@dataclass(frozen=True)
class Config:
    """What is known of the damage; what is not given is estimated."""

    noise: float | None = None
    """Standard deviation of the noise, in grey levels of 0 to 255."""
    sigma: float | None = None
    """Standard deviation of the blur, in pixels."""
    strength: float = 1.0
    """How far the range of grey is stretched: 0 leaves it, 1 takes it from black to white."""

    def __post_init__(self):
        for name, high in (("noise", 255), ("sigma", 20), ("strength", 1)):
            if getattr(self, name) is not None:
                check_range(f"edit.{name}", getattr(self, name), 0, high)


def edit(model: Any, request: Request, config: Config) -> Answer:
    """The picture as it may have been, with the figures `noise_levels`, `blur_pixels` and `contrast_gain`."""
    image = request.images[0]
    noise = noise_level(image) if config.noise is None else config.noise
    low, high = tone_range(image, noise)
    gain = 1 + config.strength * (2 / max(high - low, 2 * LEVEL) - 1)
    width = blur_width(image) if config.sigma is None else config.sigma
    middle = (low + high) / 2 * config.strength

    def operator_of(height: int, columns: int) -> Operator:
        return Blur(height, columns, width) if width >= LEAST_BLUR else Identity()

    stretched = (gain * (image - middle)).clamp(-1, 1)
    images = restored(model, request, stretched, operator_of, noise=gain * max(noise, ROUNDING) * LEVEL)
    return answered(images, figures={"noise_levels": noise, "blur_pixels": width, "contrast_gain": gain})
