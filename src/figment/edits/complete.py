"""Draw the rest of a picture of which a part is known: its top, or what a mask leaves.

For models that tell a picture piece by piece. What they drew so far steers what comes next, so the known part should
come first: the top rather than the foot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from figment.core.config import check_range
from figment.core.errors import ConfigError
from figment.core.noise import noise
from figment.core.types import ImageSpec
from figment.edits import Answer, Request
from figment.edits._resized import resized, resized_mask

NEEDS = (("Completes", "Generates"),)
INPUTS = ("image", "mask?")

USUAL_TOP = 0.5


@dataclass(frozen=True)
class Config:
    """What is known, where no mask says it."""

    top: float | None = None
    """Share of the picture's height that is known, from the top; 0.5 where neither this nor a mask is given."""

    def __post_init__(self):
        if self.top is not None:
            check_range("edit.top", self.top, 0, 1)


@torch.no_grad()
def edit(model: Any, request: Request, config: Config) -> Answer:
    """The completed pictures, one a seed, at the model's size; what is known of them is as it was given."""
    assert request.spec
    image = resized(request.images[0], request.spec)
    known = _known(request.mask, config.top, request.spec)
    start = noise(request.seeds, model)
    images = model.complete(image.expand(len(start), -1, -1, -1), known, start, request.condition, request.settings)
    request.progress(len(start), len(start))
    return Answer(images.clamp(-1, 1))


def _known(mask: Tensor | None, top: float | None, spec: ImageSpec) -> Tensor:
    """(H, W), bool."""
    if mask is None:
        rows = torch.arange(spec.height) < round((USUAL_TOP if top is None else top) * spec.height)
        return rows[:, None].expand(spec.height, spec.width)
    if top is not None:
        raise ConfigError(f"--edit.top {top:g} and --mask: the mask says what is known; leave one of them out")
    return resized_mask(mask, spec)[0, 0] < 0.5
