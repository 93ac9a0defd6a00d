"""The averaged model: what is validated, sampled and shipped."""

from __future__ import annotations

import copy

import torch
from torch import nn

from figment.core import ranks


class Ema:
    """Exponential moving average of a model's weights and statistics, measured in images.

    The half-life is ramped up: it never exceeds 5% of the images seen, so that a short run is not averaged with its
    random start (Karras et al. 2022, appendix F.2).
    """

    def __init__(self, model: nn.Module, half_life_images: int):
        self.half_life_images = half_life_images
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    def update(self, model: nn.Module, seen_images: int, batch_size: int) -> None:
        """Move the average towards `model`, after a step that brought the count to `seen_images`."""
        half_life = min(self.half_life_images, 0.05 * seen_images)
        move(self.model, model, keep=0.5 ** (batch_size / half_life) if half_life > 0 else 0.0)


@torch.no_grad()
def move(average: nn.Module, model: nn.Module, keep: float) -> None:
    """average <- keep * average + (1 - keep) * model, weights and statistics; what counts, such as steps, is copied."""
    mine, theirs = average.state_dict(), model.state_dict()
    moving = [name for name, tensor in mine.items() if tensor.is_floating_point()]
    own = [ranks.own(mine[name]) for name in moving]
    torch._foreach_lerp_(own, [ranks.own(theirs[name]) for name in moving], 1 - keep)
    for name in mine.keys() - set(moving):
        mine[name].copy_(theirs[name])
