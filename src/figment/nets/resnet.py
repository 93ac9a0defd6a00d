"""A residual CNN that turns a picture into a feature vector: the trunk of every judge."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class ResNetTrunk(nn.Module):
    """(B, C, H, W) in [-1, 1] -> (B, widths[-1]); each stage halves the picture, until its smaller side is below 6.

    Input is standardised by running statistics, so that dark, bright and pale datasets look alike to the first layer.
    """

    def __init__(self, channels: int, size: tuple[int, int], widths: Sequence[int]):
        super().__init__()
        self.standardize = nn.BatchNorm2d(channels, affine=False)
        side, stages = min(size), 0
        while side >= 6:
            side, stages = side // 2, stages + 1
        # Deep pictures repeat the last width, shallow ones leave out the first.
        widths = [*widths[-stages:], *([widths[-1]] * (stages - len(widths)))] if stages else [widths[-1]]
        self.enter = nn.Conv2d(channels, widths[0] // 2, 3, padding=1, bias=False)
        self.enter_norm = nn.BatchNorm2d(widths[0] // 2)
        befores = [widths[0] // 2, *widths[:-1]]
        self.stages = nn.ModuleList(Stage(a, b, shrink=stages > 0) for a, b in zip(befores, widths, strict=True))
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

    def __init__(self, before: int, after: int, shrink: bool):
        super().__init__()
        self.widen = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.shrink = nn.MaxPool2d(2) if shrink else nn.Identity()
        self.norm = nn.BatchNorm2d(after)
        self.residual = nn.Sequential(conv_norm_relu(after), conv_norm_relu(after))

    def forward(self, images: Tensor) -> Tensor:
        hidden = F.relu(self.norm(self.shrink(self.widen(images))))
        return hidden + self.residual(hidden)


def conv_norm_relu(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    )
