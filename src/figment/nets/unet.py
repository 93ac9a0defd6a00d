"""A U-Net: residual blocks that halve the picture, then double it again with what was seen on the way down."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.nets.attention import PixelAttention, Text
from figment.nets.blocks import ChannelNorm, Through, pad_to_multiple, zero_init


class UNet(nn.Module):
    """Pictures, a condition vector and maybe a text in, pictures of the same size out; any height and width.

    channels: of the picture and of the answer. widths: channels of each level, from the full picture down. depth:
    blocks a level. patch: pixels folded into channels before the first level, which buys speed. attention_below: levels
    whose smaller side is at most this many pixels have attention, to the text too; the middle always has.
    """

    compiles = True

    def __init__(
        self,
        channels: tuple[int, int],
        size: tuple[int, int],
        *,
        widths: Sequence[int],
        depth: int,
        patch: int,
        attention_below: int,
        condition_width: int,
        text_width: int | None = None,
    ):
        super().__init__()
        self.patch = patch
        self.multiple = patch * 2 ** (len(widths) - 1)
        side = min(-(-length // self.multiple) * self.multiple // patch for length in size)

        def block(before: int, after: int, level: int) -> ResidualBlock:
            attention = PixelAttention(after, text_width) if side >> level <= attention_below else None
            return ResidualBlock(before, after, condition_width, attention)

        self.enter = nn.Conv2d(channels[0] * patch**2, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        width, skips = widths[0], [widths[0]]
        for level, level_width in enumerate(widths):
            for _ in range(depth):
                self.down.append(block(width, level_width, level))
                width = level_width
                skips.append(width)
            if level + 1 < len(widths):
                self.down.append(Downsample(width))
                skips.append(width)
        self.middle = ResidualBlock(width, width, condition_width, PixelAttention(width, text_width))
        for level, level_width in reversed(list(enumerate(widths))):
            for _ in range(depth + 1):
                self.up.append(block(width + skips.pop(), level_width, level))
                width = level_width
            if level:
                self.up.append(Upsample(width))
        self.through = Through(channels, condition_width)
        self.norm = ChannelNorm(width)
        self.leave = zero_init(nn.Conv2d(width, channels[1] * patch**2, 3, padding=1))

    def forward(self, images: Tensor, condition: Tensor, text: Text | None = None) -> Tensor:
        """images (B, C, H, W), condition (B, condition_width) -> (B, channels_out, H, W)"""
        height, width = images.shape[-2:]
        hidden = self.enter(F.pixel_unshuffle(pad_to_multiple(images, self.multiple), self.patch))
        skips = [hidden]
        for layer in self.down:
            hidden = layer(hidden, condition, text)
            skips.append(hidden)
        hidden = self.middle(hidden, condition, text)
        for layer in self.up:
            if isinstance(layer, ResidualBlock):
                hidden = torch.cat([hidden, skips.pop()], dim=1)
            hidden = layer(hidden, condition, text)
        hidden = self.leave(F.silu(self.norm(hidden)))
        answer = F.pixel_shuffle(hidden, self.patch)[..., :height, :width]
        return answer + self.through(images, condition)


class ResidualBlock(nn.Module):
    """Two convolutions on a residual branch, the second one scaled and shifted by the condition."""

    def __init__(self, before: int, after: int, condition_width: int, attention: PixelAttention | None):
        super().__init__()
        self.norm_in = ChannelNorm(before)
        self.conv_in = nn.Conv2d(before, after, 3, padding=1)
        self.modulation = zero_init(nn.Linear(condition_width, 2 * after))
        self.norm_out = ChannelNorm(after)
        self.conv_out = zero_init(nn.Conv2d(after, after, 3, padding=1))
        self.shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()
        self.attention = attention

    def forward(self, images: Tensor, condition: Tensor, text: Text | None) -> Tensor:
        hidden = self.conv_in(F.silu(self.norm_in(images)))
        scale, shift = self.modulation(F.silu(condition))[:, :, None, None].chunk(2, dim=1)
        hidden = self.conv_out(F.silu(self.norm_out(hidden) * (1 + scale) + shift))
        hidden = self.shortcut(images) + hidden
        return hidden if self.attention is None else self.attention(hidden, text)


class Downsample(nn.Module):
    """Averages of 2x2 pixels, and what a strided convolution has to add to them."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = zero_init(nn.Conv2d(width, width, 3, stride=2, padding=1))

    def forward(self, images: Tensor, condition: Tensor, text: Text | None) -> Tensor:
        return F.avg_pool2d(images, 2) + self.conv(images)


class Upsample(nn.Module):
    """Each pixel four times, after a residual convolution at the smaller size.

    A transposed convolution would leave a checkerboard (Odena et al. 2016); one after the doubling costs four times as
    much as one before it, and the blocks that follow smooth the edges anyway.
    """

    def __init__(self, width: int):
        super().__init__()
        self.conv = zero_init(nn.Conv2d(width, width, 3, padding=1))

    def forward(self, images: Tensor, condition: Tensor, text: Text | None) -> Tensor:
        return F.interpolate(images + self.conv(images), scale_factor=2.0, mode="nearest")
