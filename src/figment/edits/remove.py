"""Take scratches and specks off a picture: thin things that stand out are found, and made new from what is around them.

Nothing else changes, to the last bit. The extra `mask` shows what was found; where that is wrong, paint a mask and take
`inpaint`. Zero-shot: any model that denoises can do it (`_posterior`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from figment.core.config import check_range
from figment.edits import Answer, Request
from figment.edits._estimates import noise_level, scratches
from figment.edits._operators import Mask
from figment.edits._posterior import answered, restored
from figment.edits._tiles import mirrored

NEEDS = (("Denoises",),)
INPUTS = ("image",)

LEAST = 24.0  # grey levels below which nothing stands out
DEVIATIONS = 5.0  # of the noise, likewise


@dataclass(frozen=True)
class Config:
    """What counts as a scratch."""

    width: int = 2
    """Pixels that it is wide, at most; what is wider belongs to the picture."""
    threshold: float | None = None
    """Grey levels by which it stands out, at least; where it is not given, 24, or 5 times the noise if that is more."""

    soft: int = 1
    """Pixels beside it that it has spoilt as well, and that are made new with it."""

    def __post_init__(self):
        check_range("edit.width", self.width, 1, 64)
        check_range("edit.soft", self.soft, 0, 64)
        if self.threshold is not None:
            check_range("edit.threshold", self.threshold, 1, 255)


def edit(model: Any, request: Request, config: Config) -> Answer:
    """The picture without what was found; the figure `found_percent` says how much of it that is."""
    image = request.images[0]
    threshold = config.threshold or max(LEAST, DEVIATIONS * noise_level(image))
    mask = F.max_pool2d(scratches(image, config.width, threshold), 2 * config.soft + 1, 1, config.soft)
    found = {"mask": 2 * mask - 1}
    figures = {"found_percent": 100 * float(mask.mean())}
    if not mask.any():
        return answered(image.repeat(len(request.seeds), 1, 1, 1), found, figures=figures)
    known = 1 - mask
    images = restored(model, request, image * known, lambda *size: Mask(mirrored(known, size)[0]))
    return answered(torch.where(mask > 0, images, image), found, figures=figures)
