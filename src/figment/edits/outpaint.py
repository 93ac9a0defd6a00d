"""Go on with a picture beyond its edges: so many pixels more to the left, right, top and bottom.

The picture itself stays, to the last bit. What is added is drawn tile by tile, each overlapping what is there already,
so a model of one size goes on as far as is asked. Zero-shot: any model that denoises can do it (`_posterior`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from figment.core.config import check_range
from figment.core.errors import ConfigError
from figment.edits import Answer, Request
from figment.edits._operators import Mask
from figment.edits._posterior import answered, restored
from figment.edits._tiles import mirrored

NEEDS = (("Denoises",),)
INPUTS = ("image",)


@dataclass(frozen=True)
class Config:
    """How far to go on, in pixels."""

    left: int = 0
    """Pixels to add on the left."""
    right: int = 0
    """Pixels to add on the right."""
    top: int = 0
    """Pixels to add at the top."""
    bottom: int = 0
    """Pixels to add at the bottom."""

    def __post_init__(self):
        for name in ("left", "right", "top", "bottom"):
            check_range(f"edit.{name}", getattr(self, name), 0, 4096)


def edit(model: Any, request: Request, config: Config) -> Answer:
    """The picture with what may lie around it.

    Raises ConfigError where nothing is to be added.
    """
    added = (config.left, config.right, config.top, config.bottom)
    if not any(added):
        raise ConfigError("--edit.left, --edit.right, --edit.top, --edit.bottom: give one of them, in pixels")
    image = request.images[0]
    wide, known = F.pad(image, added), F.pad(torch.ones_like(image[:, :1]), added)
    images = restored(model, request, wide, lambda *size: Mask(mirrored(known, size)[0]))
    place = (config.top, config.left, *image.shape[2:])
    return answered(torch.where(known > 0, wide, images), place=place)
