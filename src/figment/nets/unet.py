"""A U-Net: residual blocks that halve the picture, then double it again with what was seen on the way down."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.nets.blocks import ChannelNorm, PixelAttention, zero_init


class UNet(nn.Module):
    """Pictures and a condition vector in, pictures of the same size out; any height and width.

    widths: channels of each level, from the full picture down. depth: blocks a level. patch: pixels folded into
    channels before the first level, which buys speed. attention_below: levels whose smaller side is at most this many
    pixels have attention.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        widths: Sequence[int],
        depth: int,
        patch: int,
        attention_below: int,
        condition_width: int,
    ):
        super().__init__()
        self.patch = patch
        self.multiple = patch * 2 ** (len(widths) - 1)
        side = min(-(-length // self.multiple) * self.multiple // patch for length in size)
        self.enter = nn.Conv2d(channels * patch**2, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.ups_per_level = depth + 1
        width, skips = widths[0], [widths[0]]
        for level, level_width in enumerate(widths):
            attend = side >> level <= attention_below
            for _ in range(depth):
                self.down.append(ResidualBlock(width, level_width, condition_width, attend))
                width = level_width
                skips.append(width)
            if level + 1 < len(widths):
                self.down.append(Downsample(width))
                skips.append(width)
        self.middle = ResidualBlock(width, width, condition_width, attend=True)
        for level, level_width in reversed(list(enumerate(widths))):
            attend = side >> level <= attention_below
            for _ in range(self.ups_per_level):
                self.up.append(ResidualBlock(width + skips.pop(), level_width, condition_width, attend))
                width = level_width
            if level:
                self.up.append(Upsample(width))
        self.norm = ChannelNorm(width)
        self.leave = zero_init(nn.Conv2d(width, channels * patch**2, 3, padding=1))

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        """images (B, C, H, W), condition (B, condition_width) -> (B, C, H, W)"""
        height, width = images.shape[-2:]
        bottom, right = -height % self.multiple, -width % self.multiple
        # Sizes that do not halve evenly are continued by their border, and the answer is cut back.
        hidden = F.pad(images, (0, right, 0, bottom), mode="replicate") if bottom or right else images
        hidden = self.enter(F.pixel_unshuffle(hidden, self.patch))
        skips = [hidden]
        for layer in self.down:
            hidden = layer(hidden, condition)
            skips.append(hidden)
        hidden = self.middle(hidden, condition)
        for layer in self.up:
            if isinstance(layer, ResidualBlock):
                hidden = torch.cat([hidden, skips.pop()], dim=1)
            hidden = layer(hidden, condition)
        hidden = self.leave(F.silu(self.norm(hidden)))
        return F.pixel_shuffle(hidden, self.patch)[..., :height, :width]


class ResidualBlock(nn.Module):
    """Two convolutions on a residual branch, the second one scaled and shifted by the condition."""

    def __init__(self, before: int, after: int, condition_width: int, attend: bool):
        super().__init__()
        self.norm_in = ChannelNorm(before)
        self.conv_in = nn.Conv2d(before, after, 3, padding=1)
        self.modulation = zero_init(nn.Linear(condition_width, 2 * after))
        self.norm_out = ChannelNorm(after)
        self.conv_out = zero_init(nn.Conv2d(after, after, 3, padding=1))
        self.shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()
        self.attention = PixelAttention(after) if attend else nn.Identity()

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        hidden = self.conv_in(F.silu(self.norm_in(images)))
        scale, shift = self.modulation(F.silu(condition))[:, :, None, None].chunk(2, dim=1)
        hidden = self.conv_out(F.silu(self.norm_out(hidden) * (1 + scale) + shift))
        return self.attention(self.shortcut(images) + hidden)


class Downsample(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        return self.conv(images)


class Upsample(nn.Module):
    """Nearest neighbour, then a convolution: a transposed one would leave a checkerboard (Odena et al. 2016)."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        return self.conv(F.interpolate(images, scale_factor=2.0, mode="nearest"))
