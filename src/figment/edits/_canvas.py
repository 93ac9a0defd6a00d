"""A denoiser of pictures of one size, applied to pictures of any size that is not smaller.

On a canvas, a sampler's state is walked as usual; what the model thinks of it is seen as whole pictures, which an edit
may change before the walk goes on:

    model of pixels     the state is a noisy picture; tiles of it are denoised and blended
    model of latents    the state is the noisy latents of every tile; they are denoised, decoded and blended, and what
                        became of the picture is cut and encoded again
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from figment.core.noise import normal
from figment.core.types import Condition, Encodes
from figment.edits._tiles import Place, Tiling
from figment.samplers import Sampling, guided

PICTURES = 1 / 3  # variance of values that are spread evenly over [-1, 1]


class PixelCanvas:
    """Of a model that denoises pictures."""

    def __init__(self, model: Any, tiling: Tiling, condition: Condition | None, settings: Sampling):
        self.model, self.tiling, self.condition, self.settings = model, tiling, condition, settings

    def noise(self, seeds: Sequence[int], channels: int) -> Tensor:
        """The state to begin with, in units of its sigma: standard normal, a row a seed."""
        return normal(seeds, (channels, *self.tiling.size))

    def clean(self, state: Tensor, sigma: Tensor) -> Tensor:
        """Estimate of the clean pictures, (B, C, H, W)."""
        return self.tiling.blend(len(state), lambda places: self._asked(self.tiling.cut(state, places), sigma, places))

    def estimates(self, state: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """What the model takes for the state without noise, and that as pictures, which gradients may lead through."""
        clean = self.clean(state, sigma)
        return clean, clean

    def variance(self, sigma: float) -> float:
        """How far from the truth the pictures of `estimates` are at this sigma, squared, in each value: about."""
        return PICTURES * sigma**2 / (sigma**2 + PICTURES)

    def state_of(self, images: Tensor) -> Tensor:
        """Pictures as states without noise."""
        return images

    def shown(self, state: Tensor) -> Tensor:
        """States without noise as pictures."""
        return state

    def _asked(self, noisy: Tensor, sigma: Tensor, places: list[Place]) -> Tensor:
        rows = torch.tensor([row for row, _, _ in places])
        condition = None if self.condition is None else self.condition[rows]
        return guided(self.model, condition, self.settings)(noisy, sigma[rows])


class LatentCanvas(PixelCanvas):
    """Of a model that denoises latents, and decodes and encodes them. A state is (B, tiles, *latent)."""

    def noise(self, seeds: Sequence[int], channels: int) -> Tensor:
        return normal(seeds, (len(self.tiling.corners), *self.model.noise_shape()))

    def clean(self, state: Tensor, sigma: Tensor) -> Tensor:
        def draw(places: list[Place]) -> Tensor:
            return self.model.decode(self._asked(self._latents(state, places), sigma, places))

        return self.tiling.blend(len(state), draw)

    def estimates(self, state: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        if len(self.tiling.corners) == 1:
            batches = self.tiling.batches(len(state))
            latents = torch.cat([self._asked(self._latents(state, places), sigma, places) for places in batches])
            return latents[:, None], self.model.decode(latents)
        clean = self.clean(state, sigma)
        return self.state_of(clean.detach()), clean

    def variance(self, sigma: float) -> float:
        # Latents have a variance of 1, and the fewer they are, the more of a picture hangs on each.
        share = math.prod(self.tiling.tile) / math.prod(self.model.noise_shape())
        return PICTURES * max(share, 1.0) * sigma**2 / (sigma**2 + 1)

    def state_of(self, images: Tensor) -> Tensor:
        batches = self.tiling.batches(len(images))
        latents = torch.cat([self.model.encode(self.tiling.cut(images, places)) for places in batches])
        return latents.unflatten(0, (len(images), -1))

    def shown(self, state: Tensor) -> Tensor:
        return self.tiling.blend(len(state), lambda places: self.model.decode(self._latents(state, places)))

    def _latents(self, state: Tensor, places: list[Place]) -> Tensor:
        numbers = {corner: number for number, corner in enumerate(self.tiling.corners)}
        return torch.stack([state[row, numbers[top, left]] for row, top, left in places])


def canvas_of(model: Any, tiling: Tiling, condition: Condition | None, settings: Sampling) -> PixelCanvas:
    """The canvas for a model."""
    kind = LatentCanvas if isinstance(model, Encodes) else PixelCanvas
    return kind(model, tiling, condition, settings)
