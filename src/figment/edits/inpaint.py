"""Make a part of a picture new, from a mask: white is filled in to match what is around it.

What is known stays, to the last bit. Zero-shot: any model that denoises can do it (`_posterior`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from figment.core.errors import ConfigError
from figment.edits import Answer, Request
from figment.edits._operators import Mask
from figment.edits._posterior import answered, restored
from figment.edits._tiles import mirrored

NEEDS = (("Denoises",),)
INPUTS = ("image", "mask")


@dataclass(frozen=True)
class Config:
    """There is nothing to set."""


def edit(model: Any, request: Request, config: Config) -> Answer:
    """The picture with everything under the mask made new.

    Raises ConfigError for a mask that is black everywhere.
    """
    image, mask = request.images[0], request.mask
    assert mask is not None, "require() has seen to it"
    if not mask.any():
        raise ConfigError("--mask: is black everywhere, so nothing is to be made new; paint that white")
    known = 1 - mask
    images = restored(model, request, image * known, lambda *size: Mask(mirrored(known, size)[0]))
    return answered(torch.where(mask > 0, images, image))
