"""Mix the styles of two pictures: the coarse layers follow one, the fine layers another.

Coarse layers decide on pose and shape, fine ones on colour and texture (Karras et al. 2019, section 3.1 and figure 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from figment.core.config import check_range
from figment.core.errors import CapabilityError, ConfigError
from figment.core.noise import noise
from figment.edits import Answer, Request
from figment.edits._drawing import in_parts, rows_of
from figment.edits._walk import pictures, points

NEEDS = (("Generates", "Maps"),)
INPUTS = ()


@dataclass(frozen=True)
class Config:
    """Whose fine layers, and from where on."""

    fine: int = 1000
    """Seed of the picture whose fine layers are taken; --seed is that of the coarse ones."""
    crossover: int = 0
    """The first layer that is taken from it, from 1 on; 0: the middle one."""

    def __post_init__(self):
        check_range("edit.crossover", self.crossover, 0)


@torch.no_grad()
def edit(model: Any, request: Request, config: Config) -> Answer:
    """(N, C, H, W): each seed's picture with the fine layers of the other; the two sources are extras."""
    condition, settings = request.condition, request.settings
    coarse = points(model, noise(request.seeds, model), condition, settings)
    if coarse.ndim < 3:
        raise CapabilityError("mix: this run has one style for all layers; give a run of stylegan2")
    fine = points(model, noise([config.fine] * len(coarse), model), condition, settings)
    layers = coarse.shape[1]
    if config.crossover >= layers:
        raise ConfigError(f"--edit.crossover {config.crossover}: this run has {layers} layers; give 1 to {layers - 1}")
    first = config.crossover or layers // 2
    mixed = torch.cat([coarse[:, :first], fine[:, first:]], 1)

    def draw(styles: Tensor) -> Tensor:
        def part(rows: slice) -> Tensor:
            return pictures(model, styles[rows], rows_of(condition, rows), settings)

        return in_parts(part, len(styles), request.progress)

    return Answer(draw(mixed), extras={"coarse": draw(coarse), "fine": draw(fine)})
