"""Encode a picture and decode it again: what the model knows of it is what is left.

A picture that is larger than the model's is taken in tiles, which overlap and are blended; one that is smaller is
mirrored beyond its borders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from figment.edits import Answer, Request
from figment.edits._quality import psnr_figures
from figment.edits._tiles import Place, Tiling, mirrored

NEEDS = (("Encodes",),)
INPUTS = ("image",)


@dataclass(frozen=True)
class Config:
    """There is nothing to set."""


@torch.no_grad()
def edit(model: Any, request: Request, config: Config) -> Answer:
    """The picture as it comes back, the same for every seed, and its `psnr_db`."""
    assert request.spec
    image, tile = request.images[0], (request.spec.height, request.spec.width)
    wide, (rows, columns) = mirrored(image, tile)
    tiling = Tiling((wide.shape[2], wide.shape[3]), tile)

    def draw(places: list[Place]) -> Tensor:
        return model.decode(model.encode(tiling.cut(wide, places))).clamp(-1, 1)

    answer = tiling.blend(1, draw)[..., rows, columns]
    return Answer(answer.expand(len(request.seeds), -1, -1, -1), figures=psnr_figures(image, answer))
