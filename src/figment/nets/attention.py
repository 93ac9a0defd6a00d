"""Attention among the tokens of a picture, and from them to a text; its logits stay small in any precision."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.nets.blocks import ChannelNorm, zero_init

LOWEST_FREQUENCY = 0.01  # radians a cell; pictures have a hundred rows, not the ten thousand words of Vaswani et al.


@dataclass(frozen=True)
class Text:
    """tokens: (B, T, D). mask: (B, T) bool, True where there is a token; its first column is always True."""

    tokens: Tensor
    mask: Tensor

    def mean(self) -> Tensor:
        """Of the tokens that there are: (B, D)."""
        given = self.mask[..., None].to(self.tokens)
        return (self.tokens * given).sum(1) / given.sum(1)


class Attention(nn.Module):
    """Self-attention in heads of up to 64 channels, and attention to a text: (B, N, width) -> the same shape.

    Queries and keys have a root mean square of 1, measured in float32 (Dehghani et al. 2023, section 2.1). A logit is
    then at most the root of the head's width, whatever the activations, so bfloat16 cannot overflow or saturate it.

    A text has a softmax of its own, with the picture's queries, and is added (Ye et al. 2023, equation 5): among a
    hundred tokens of the picture, ten of a text would hardly be seen at first. text_width: D of its tokens.
    """

    def __init__(self, width: int, text_width: int | None = None):
        super().__init__()
        self.heads = max(1, width // 64)
        if width % self.heads:
            self.heads = 1
        self.qkv = nn.Linear(width, 3 * width)
        self.text = nn.Linear(text_width, 2 * width) if text_width else None
        self.gains = nn.Parameter(torch.ones(2, width // self.heads))
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, text: Text | None = None, mask: Tensor | None = None) -> Tensor:
        """tokens (B, N, width); mask (B, N) bool, True where a token may be attended to -> (B, N, width)"""
        query, key, value = self._heads(self.qkv(tokens), 3)
        query, key = unit_rms(query, self.gains[0]), unit_rms(key, self.gains[1])
        mixed = F.scaled_dot_product_attention(query, key, value, None if mask is None else mask[:, None, None])
        if self.text is not None and text is not None:
            key, value = self._heads(self.text(text.tokens), 2)
            key = unit_rms(key, self.gains[1])
            mixed = mixed + F.scaled_dot_product_attention(query, key, value, text.mask[:, None, None])
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _heads(self, joined: Tensor, parts: int) -> tuple[Tensor, ...]:
        """(B, N, parts * width) -> `parts` tensors (B, heads, N, channels of a head)"""
        return joined.unflatten(2, (parts, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


class PixelAttention(nn.Module):
    """Attention among the pixels of a feature map, which know their places: (B, C, H, W) -> the same shape."""

    def __init__(self, channels: int, text_width: int | None = None):
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.attention = Attention(channels, text_width)
        zero_init(self.attention.out)

    def forward(self, images: Tensor, text: Text | None = None) -> Tensor:
        channels, *size = images.shape[1:]
        tokens = self.norm(images).permute(0, 2, 3, 1).flatten(1, 2)
        tokens = tokens + grid_positions(size[0], size[1], channels).to(tokens)
        return images + self.attention(tokens, text).unflatten(1, size).permute(0, 3, 1, 2)


def unit_rms(vectors: Tensor, gain: Tensor) -> Tensor:
    """(..., D) divided by the root mean square of each row, in float32, times gain (D,) -> in the dtype that came in.

    Written out, because MeanFlow differentiates it forwards.
    """
    wide = vectors.float()
    wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)
    return (wide * gain).to(vectors.dtype)


def line_positions(length: int, channels: int) -> Tensor:
    """Sines and cosines of places on a line, of root mean square 1: (length, channels). Vaswani et al. 2017, 3.5."""
    frequencies = torch.linspace(0, math.log(LOWEST_FREQUENCY), -(-channels // 2)).exp()
    angles = torch.arange(length)[:, None] * frequencies
    return math.sqrt(2) * torch.cat([angles.sin(), angles.cos()], dim=1)[:, :channels]


def grid_positions(height: int, width: int, channels: int) -> Tensor:
    """Places in a grid of any shape, row by row, half of the channels for each axis: (height * width, channels)."""
    rows, columns = line_positions(height, channels // 2), line_positions(width, channels - channels // 2)
    cells = [rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)]
    return torch.cat(cells, dim=2).flatten(0, 1)
