"""Recolour a picture with the colours of a palette; no model is needed.

Every colour moves to a mixture of the palette's, so that as little as possible is moved in all (see `_palette.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from figment.edits import Answer, Request
from figment.edits._palette import PaletteConfig, distance, palette_of, recoloured, refuse_grey

NEEDS = ()
INPUTS = ("image",)


@dataclass(frozen=True)
class Config(PaletteConfig):
    """Which colours, and how strictly."""


@torch.no_grad()
def edit(model: Any, request: Request, config: Config) -> Answer:
    """The picture with its colours moved, (N, C, H, W), the same for every seed."""
    (image,), palette = request.images, palette_of(config.colors)
    refuse_grey(image.shape[1])
    moved = recoloured(image, palette, config)
    figures = {"colour_distance": distance(moved, palette), "colour_distance_before": distance(image, palette)}
    return Answer(moved.repeat(len(request.seeds), 1, 1, 1), figures=figures)
