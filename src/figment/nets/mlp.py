"""Multilayer perceptrons: for pictures so small that a convolution has nothing to slide over."""

from __future__ import annotations

import itertools
import math

from torch import Tensor, nn

from figment.nets.attention import Text
from figment.nets.blocks import zero_init


class ModulatedMlp(nn.Module):
    """Residual MLP over flattened pictures, each block scaled, shifted and gated by a condition vector.

    shape: (C, H, W). The modulation is that of DiT's adaLN-Zero (Peebles and Xie 2023, section 3.2), without tokens.
    """

    compiles = True

    def __init__(
        self, shape: tuple[int, int, int], width: int, depth: int, condition_width: int, channels_out: int | None = None
    ):
        super().__init__()
        channels, *size = shape
        self.shape_out = (channels_out or channels, *size)
        self.enter = nn.Linear(math.prod(shape), width)
        self.blocks = nn.ModuleList(ModulatedBlock(width, condition_width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.leave = zero_init(nn.Linear(width, math.prod(self.shape_out)))

    def forward(self, images: Tensor, condition: Tensor, text: Text | None = None) -> Tensor:
        """images (B, C, H, W), condition (B, condition_width) -> (B, channels_out, H, W); the text is ignored"""
        hidden = self.enter(images.flatten(1))
        for block in self.blocks:
            hidden = block(hidden, condition)
        return self.leave(self.norm(hidden)).view(-1, *self.shape_out)


class ModulatedBlock(nn.Module):
    def __init__(self, width: int, condition_width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Sequential(nn.SiLU(), zero_init(nn.Linear(condition_width, 3 * width)))
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        scale, shift, gate = self.modulation(condition).chunk(3, dim=1)
        return hidden + gate * self.mlp(self.norm(hidden) * (1 + scale) + shift)


def plain_mlp(sizes: list[int], leak: float = 0.2) -> nn.Sequential:
    """Linear layers of the given sizes with leaky ReLUs between them."""
    layers: list[nn.Module] = []
    for size, after in itertools.pairwise(sizes):
        layers += [nn.Linear(size, after), nn.LeakyReLU(leak)]
    return nn.Sequential(*layers[:-1])
