"""More pictures like a given one.

A model that denoises lays a little noise over the picture and draws it again, as `redraw` does at low strength. One
that encodes moves the picture's latents by a share of normal noise as wide as they are themselves, and decodes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from figment.core.config import check_range
from figment.core.noise import normal
from figment.core.types import Denoises, Jumps
from figment.edits import Answer, Request
from figment.edits._drawing import fitted, in_parts
from figment.edits._redrawing import redrawn

NEEDS = (("Denoises",), ("Jumps",), ("Encodes",))
INPUTS = ("image",)


@dataclass(frozen=True)
class Config:
    """How unlike."""

    strength: float = 0.35
    """How far answers may stray: 0 gives the picture back, as far as the model can show it, 1 has little of it left."""

    def __post_init__(self):
        check_range("edit.strength", self.strength, 0, 1)


@torch.no_grad()
def edit(model: Any, request: Request, config: Config) -> Answer:
    """A variation for each seed: (N, C, H, W)."""
    if isinstance(model, Denoises | Jumps):
        return Answer(redrawn(model, request, config.strength))
    latents = model.encode(fitted(request.images[0], request.spec))
    shift = config.strength * latents.std() * normal(request.seeds, latents.shape[1:])
    return Answer(in_parts(partial(_decoded, model, latents + shift), len(shift), request.progress))


def _decoded(model: Any, latents: Tensor, rows: slice) -> Tensor:
    return model.decode(latents[rows]).clamp(-1, 1)
