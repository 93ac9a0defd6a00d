"""Take scratches and specks off a picture: thin things that stand out, and that the model would not have drawn there.

What is thin and stands out is under suspicion. While the picture is drawn, each such pixel is believed as far as it
fits what the model then sees (`Doubted` in `_operators.py`); what does not fit at last is a scratch. Nothing else
changes, to the last bit. The extra `mask` shows what was found, `suspected` what was thin; where that is wrong, paint a
mask and take `inpaint`. Zero-shot: any model that denoises can do it (`_posterior`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from figment.core.config import check_range
from figment.edits import Answer, Request
from figment.edits._estimates import noise_level, scratches
from figment.edits._operators import Doubted
from figment.edits._posterior import LEVEL, answered, restored
from figment.edits._tiles import mirrored

NEEDS = (("Denoises",),)
INPUTS = ("image",)

LEAST = 24.0  # grey levels below which nothing stands out
DEVIATIONS = 5.0  # of the noise, likewise
ROUGH = 8.0  # grey levels by which a sound pixel may differ from what the model sees there
UNFIT = 4.0  # times as much, from which on a pixel is a scratch at last
CHANCE = 0.5  # that what is thin and stands out is a scratch


@dataclass(frozen=True)
class Config:
    """What counts as a scratch."""

    width: int = 2
    """Pixels that it is wide, at most; what is wider belongs to the picture."""
    threshold: float | None = None
    """Grey levels by which it stands out, at least; where it is not given, 24, or 5 times the noise if that is more."""
    soft: int = 1
    """Pixels beside it that it may have spoilt as well."""

    def __post_init__(self):
        check_range("edit.width", self.width, 1, 64)
        check_range("edit.soft", self.soft, 0, 64)
        if self.threshold is not None:
            check_range("edit.threshold", self.threshold, 1, 255)


def edit(model: Any, request: Request, config: Config) -> Answer:
    """The picture without what was found; the figure `found_percent` says how much of it that is."""
    image, noise = request.images[0], noise_level(request.images[0])
    threshold = config.threshold or max(LEAST, DEVIATIONS * noise)
    thin = F.max_pool2d(scratches(image, config.width, threshold), 2 * config.soft + 1, 1, config.soft)
    if not thin.any():
        found, images = thin, image.repeat(len(request.seeds), 1, 1, 1)
    else:
        rough = max(ROUGH, noise) * LEVEL
        chance = CHANCE * thin
        drawn = restored(model, request, image, lambda *size: Doubted(mirrored(chance, size)[0], rough), noise=rough)
        found = thin * ((drawn - image).abs().amax(1, keepdim=True) > UNFIT * rough)
        images = torch.where(found > 0, drawn, image)
    extras = {"mask": 2 * found.amax(0, keepdim=True) - 1, "suspected": 2 * thin - 1}
    return answered(images, extras, figures={"found_percent": 100 * float(found.mean())})
