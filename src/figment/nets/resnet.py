"""A residual CNN that turns a picture into a feature vector: the trunk of every judge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["batch", "group"]


class ResNetTrunk(nn.Module):
    """(B, C, H, W) in [-1, 1] -> (B, widths[-1]); each stage halves the picture, until its smaller side is below 6.

    Input is standardised by running statistics, so that dark, bright and pale datasets look alike to the first layer.
    norm: group looks at each picture alone, here too.
    """

    def __init__(self, channels: int, size: tuple[int, int], widths: Sequence[int], norm: Norm = "batch"):
        super().__init__()
        whole = nn.BatchNorm2d(channels, affine=False), nn.GroupNorm(1, channels, affine=False)
        self.standardize = whole[norm == "group"]
        side, stages = min(size), 0
        while side >= 6:
            side, stages = side // 2, stages + 1
        # Deep pictures repeat the last width, shallow ones leave out the first.
        widths = [*widths[-stages:], *([widths[-1]] * (stages - len(widths)))] if stages else [widths[-1]]
        self.enter = nn.Conv2d(channels, widths[0] // 2, 3, padding=1, bias=False)
        self.enter_norm = normalize(widths[0] // 2, norm)
        befores = [widths[0] // 2, *widths[:-1]]
        self.stages = nn.ModuleList(Stage(a, b, stages > 0, norm) for a, b in zip(befores, widths, strict=True))
        self.width = widths[-1]

    def forward(self, images: Tensor) -> Tensor:
        return self.stages_of(images)[-1].amax((2, 3)).float()

    def stages_of(self, images: Tensor) -> list[Tensor]:
        """The activations of the first layer and of every stage, (B, D, h, w) each, of pictures of any size."""
        seen = [F.relu(self.enter_norm(self.enter(self.standardize(images))))]
        for stage in self.stages:
            seen.append(stage(seen[-1]))
        return seen


class Stage(nn.Module):
    """Widen and halve, then one residual block."""

    def __init__(self, before: int, after: int, shrink: bool, norm: Norm):
        super().__init__()
        self.widen = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.shrink = nn.MaxPool2d(2) if shrink else nn.Identity()
        self.norm = normalize(after, norm)
        self.residual = nn.Sequential(conv_norm_relu(after, norm), conv_norm_relu(after, norm))

    def forward(self, images: Tensor) -> Tensor:
        hidden = F.relu(self.norm(self.shrink(self.widen(images))))
        return hidden + self.residual(hidden)


def conv_norm_relu(width: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, bias=False), normalize(width, norm), nn.ReLU(inplace=True)
    )


def normalize(channels: int, norm: Norm) -> nn.Module:
    """Over the batch, or over up to 8 groups of the channels of each picture."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(math.gcd(8, channels), channels)
