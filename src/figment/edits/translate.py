"""Turn your picture into its other half, or into another class: with a run of pix2pix or cyclegan.

A run of pix2pix draws what belongs to the picture as it learnt from pairs. One of cyclegan turns it into the class that
--label names, the second of its two where none is named. Pictures may have any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from figment.edits import Answer, Request

NEEDS = (("Translates",),)
INPUTS = ("image",)


@dataclass(frozen=True)
class Config:
    """It has nothing to set."""


@torch.no_grad()
def edit(model: Any, request: Request, config: Config) -> Answer:
    """The picture, translated once: all seeds have the same answer, since nothing is left to chance."""
    condition = request.condition and request.condition[:1]
    images = model.translate(request.images[0], condition)
    request.progress(1, 1)
    return Answer(images.expand(len(request.seeds), -1, -1, -1).contiguous())
