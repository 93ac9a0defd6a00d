"""Find a given picture among those that a model can draw: its noise, or its styles, and what is drawn from them.

A model that denoises is walked backwards. Any other is searched by gradient, from several draws, for the picture whose
pixels, and whose looks to a judge, come nearest. How near says what the model has learnt of such pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from figment.core.config import check_range
from figment.core.errors import ConfigError
from figment.core.types import Denoises
from figment.edits import Answer, Request
from figment.edits._drawing import fitted, in_parts, rows_of
from figment.edits._inversion import inverted
from figment.edits._seeing import eyes_of
from figment.edits._walk import pictures

NEEDS = (("Generates",),)
INPUTS = ("image",)


@dataclass(frozen=True)
class Config:
    """How hard to search, and for what."""

    steps: int = 200
    """Of the search, or of the way backwards in all its rounds."""
    judge: str = ""
    """A classifier or contrastive run, to whom the answer shall look like the picture; not for runs that denoise."""

    def __post_init__(self):
        check_range("edit.steps", self.steps, 2, 100_000)


@torch.no_grad()
def edit(model: Any, request: Request, config: Config) -> Answer:
    """What each seed's search found, drawn: (N, C, H, W), at the model's size."""
    target, count = fitted(request.images[0], request.spec), len(request.seeds)
    if config.judge and isinstance(model, Denoises):
        raise ConfigError(f"--edit.judge {config.judge}: a run that denoises is walked backwards; leave it out")
    look = eyes_of(config.judge, target.shape[1]) if config.judge else None
    condition, settings = request.condition, request.settings

    def draw(rows: slice) -> torch.Tensor:
        seeds = request.seeds[rows]
        asked, targets = rows_of(condition, rows), target.expand(len(seeds), -1, -1, -1)
        places = inverted(model, targets, seeds, asked, settings, config.steps, look)
        return pictures(model, places, asked, settings)

    images = in_parts(draw, count, request.progress)
    error = (images - target).square().flatten(1).mean(1).clamp_min(1e-12)
    return Answer(images, figures={"psnr_db": float((10 * torch.log10(4 / error)).mean())})
