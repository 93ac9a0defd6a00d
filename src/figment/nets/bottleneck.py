"""Pictures to one short vector, and back, told of a condition: perceptrons, or convolutions around one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.nets.codec import Decoder, Encoder
from figment.nets.mlp import plain_mlp

LARGEST_GRID = 8  # pixels a side at which convolutions hand over to a perceptron


class FlatEncoder(nn.Module):
    """(B, C, H, W), (B, condition_width) -> (B, size), all pixels at once."""

    def __init__(self, shape: tuple[int, int, int], size: int, condition_width: int, *, width: int, depth: int):
        super().__init__()
        self.layers = plain_mlp([math.prod(shape) + condition_width, *[width] * depth, size])

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        return self.layers(torch.cat([images.flatten(1), condition], 1))


class FlatDecoder(nn.Module):
    """(B, size), (B, condition_width) -> (B, C, H, W), all pixels at once."""

    def __init__(self, shape: tuple[int, int, int], size: int, condition_width: int, *, width: int, depth: int):
        super().__init__()
        self.shape = shape
        self.layers = plain_mlp([size + condition_width, *[width] * depth, math.prod(shape)])

    def forward(self, vector: Tensor, condition: Tensor) -> Tensor:
        return self.layers(torch.cat([vector, condition], 1)).view(-1, *self.shape)


class GridEncoder(nn.Module):
    """The same, by convolutions down to a grid of 5 to 8 codes a side and one hidden layer of `width` units.

    width: 32 times the channels at the picture's own size, which are 8 at least. depth: residual blocks on each level.
    """

    def __init__(self, shape: tuple[int, int, int], size: int, condition_width: int, *, width: int, depth: int):
        super().__init__()
        levels, codes, grid = _plan(shape, width)
        self.layers = Encoder(shape[0], codes, width=_channels(width), levels=levels, depth=depth)
        self.head = plain_mlp([codes * math.prod(grid) + condition_width, width, size])

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        return self.head(torch.cat([F.silu(self.layers(images)).flatten(1), condition], 1))


class GridDecoder(nn.Module):
    """The way back from what `GridEncoder` gives."""

    def __init__(self, shape: tuple[int, int, int], size: int, condition_width: int, *, width: int, depth: int):
        super().__init__()
        channels, height, right = shape
        levels, codes, self.grid = _plan(shape, width)
        self.head = plain_mlp([size + condition_width, width, codes * math.prod(self.grid)])
        self.layers = Decoder(codes, channels, (height, right), width=_channels(width), levels=levels, depth=depth)

    def forward(self, vector: Tensor, condition: Tensor) -> Tensor:
        codes = self.head(torch.cat([vector, condition], 1))
        return self.layers(codes.view(codes.shape[0], -1, *self.grid))


def _channels(width: int) -> int:
    return max(width // 32, 8)


def _plan(shape: tuple[int, int, int], width: int) -> tuple[int, int, tuple[int, int]]:
    """How often to halve, the channels of the smallest grid, and its height and width."""
    _, *sides = shape
    levels = max(1, math.ceil(math.log2(max(sides) / LARGEST_GRID)))
    height, right = (-(-side // 2**levels) for side in sides)
    return levels, max(width // 8, 8), (height, right)
