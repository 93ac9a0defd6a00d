"""The networks of progressive growing: both begin with pictures of a few pixels, and get larger ones level by level.

How far they have grown is one number g: at a whole number the pictures have the size of that level, in between the new
level is faded in over the old one (Karras et al. 2018, figure 2). Layers have an equalised learning rate (section 4.1).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.core.types import Condition, ImageSpec
from figment.nets.embeddings import ConditionEmbedding, quiet
from figment.nets.pyramid import Size, level_widths, pyramid
from figment.nets.style import EqualConv, EqualLinear, active, deviation


def enlarged(images: Tensor, size: Size) -> Tensor:
    """(B, C, h, w) -> (B, C, *size), every pixel repeated."""
    return images if images.shape[-2:] == size else F.interpolate(images, size=size, mode="nearest")


def reduced(images: Tensor, size: Size) -> Tensor:
    """(B, C, H, W) -> (B, C, *size), the mean of what each pixel stands for."""
    return images if images.shape[-2:] == size else F.adaptive_avg_pool2d(images, size)


def level_of(growth: float) -> tuple[int, float]:
    """The newest level, and how much of it is faded in, above 0 and up to 1: 1.25 -> (2, 0.25), 2.0 -> (2, 1.0)."""
    level = math.ceil(growth)
    return level, 1 - (level - growth)


def unit(features: Tensor) -> Tensor:
    """Every pixel's features brought to a mean square of 1 (section 4.2): (B, C, H, W) -> the same."""
    return features * torch.rsqrt(features.float().square().mean(1, keepdim=True) + 1e-8).to(features.dtype)


class GrowingGenerator(nn.Module):
    """Noise and condition to pictures of full size, which show no more than the levels grown so far."""

    def __init__(self, spec: ImageSpec, latents: int, width: int):
        super().__init__()
        self.sizes = pyramid((spec.height, spec.width))
        widths = level_widths(len(self.sizes), width, 8 * width)
        self.condition = quiet(ConditionEmbedding(spec, latents))
        self.is_told = any(True for _ in self.condition.parameters())
        self.enter = EqualLinear((1 + self.is_told) * latents, widths[0] * math.prod(self.sizes[0]))
        firsts = [EqualConv(before, after, 3) for before, after in itertools.pairwise([widths[0], *widths])]
        self.first, self.second = nn.ModuleList(firsts), nn.ModuleList(EqualConv(one, one, 3) for one in widths)
        self.pictures = nn.ModuleList(EqualConv(one, spec.channels, 1) for one in widths)

    def forward(self, noise: Tensor, condition: Condition | None, growth: float) -> Tensor:
        """noise (B, latents) -> (B, C, H, W) float32, not clamped; growth from 0 to levels - 1."""
        level, share = level_of(growth)
        vector = F.normalize(noise.float(), dim=1) * math.sqrt(noise.shape[1])
        if self.is_told:
            vector = torch.cat([vector, self.condition(condition, noise.shape[0]).to(noise.device)], 1)
        hidden = self.enter(vector).unflatten(1, (-1, *self.sizes[0]))
        before = hidden
        for place in range(level + 1):
            before = hidden
            hidden = unit(active(self.first[place](enlarged(hidden, self.sizes[place]))))
            hidden = unit(active(self.second[place](hidden)))
        images = self.pictures[level](hidden).float()
        if share < 1:
            images = enlarged(self.pictures[level - 1](before).float(), self.sizes[level]).lerp(images, share)
        return enlarged(images, self.sizes[-1])


class GrowingCritic(nn.Module):
    """Pictures of full size and condition to logits, (B, 1), seen at the level grown so far."""

    def __init__(self, spec: ImageSpec, width: int):
        super().__init__()
        self.sizes = pyramid((spec.height, spec.width))
        widths = level_widths(len(self.sizes), width, 8 * width)
        self.enter = nn.ModuleList(EqualConv(spec.channels, one, 1) for one in widths)
        self.first = nn.ModuleList(EqualConv(one, one, 3) for one in widths[1:])
        self.second = nn.ModuleList(EqualConv(after, before, 3) for before, after in itertools.pairwise(widths))
        self.mix = EqualConv(widths[0] + 1, widths[0], 3)
        self.features = EqualLinear(widths[0] * math.prod(self.sizes[0]), widths[0])
        self.condition = ConditionEmbedding(spec, widths[0])
        self.wanted = nn.Parameter(torch.randn(widths[0]))

    def forward(self, images: Tensor, condition: Condition | None, growth: float) -> Tensor:
        level, share = level_of(growth)
        images = reduced(images, self.sizes[level])
        hidden = active(self.enter[level](images))
        for place in range(level, 0, -1):
            hidden = active(self.second[place - 1](active(self.first[place - 1](hidden))))
            hidden = reduced(hidden, self.sizes[place - 1])
            if place == level and share < 1:
                old = active(self.enter[level - 1](reduced(images, self.sizes[level - 1])))
                hidden = old.lerp(hidden, share)
        hidden = active(self.mix(torch.cat([hidden, deviation(hidden)], 1)))
        features = active(self.features(hidden.flatten(1))).float()
        wanted = self.wanted + self.condition(condition, images.shape[0]).float()
        return (features * wanted).sum(1, keepdim=True) / math.sqrt(len(self.wanted))
