"""The U-Net of DDPM (Ho et al. 2020, appendix B), part for part and name for name as diffusers' UNet2DModel has it.

So that a run can be carried there and back, number by number: nothing is put in that diffusers does not have, no way
past the norms, no places for attention, no text. A norm over groups of channels forgets less of how large a number was
than one over the channels of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.nets.attention import Text
from figment.nets.blocks import pad_to_multiple, zero_init

TIMES = 1000  # steps of a time from 0 to 1
GROUPS = 32  # of a norm, at most

Make = Callable[..., nn.Module]


class UNet2d(nn.Module):
    """Pictures and a condition vector in, pictures of the same size out; any height and width.

    channels: of the picture and of the answer. widths: channels of each level, from the full picture down. depth:
    blocks a level. attends: which levels have attention; the middle always has.
    """

    compiles = True

    def __init__(
        self,
        channels: tuple[int, int],
        *,
        widths: Sequence[int],
        depth: int,
        attends: Sequence[bool],
        condition_width: int,
    ):
        super().__init__()
        self.widths, self.depth, self.attends = tuple(widths), depth, tuple(attends)
        self.groups, self.condition_width = math.gcd(GROUPS, widths[0]), condition_width
        block = partial(Block, condition_width=condition_width, groups=self.groups)
        attention = partial(Attention, head=widths[0], groups=self.groups)
        self.conv_in = nn.Conv2d(channels[0], widths[0], 3, padding=1)
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        width, skips = widths[0], [widths[0]]
        for level, after in enumerate(widths):
            is_last = level + 1 == len(widths)
            sizes = [(width if first else after, after) for first in (True, *[False] * (depth - 1))]
            self.down_blocks.append(Down(sizes, block, attention if attends[level] else None, halves=not is_last))
            skips += [after] * (depth + (not is_last))
            width = after
        self.mid_block = Middle(width, block, attention)
        for level, after in reversed(list(enumerate(widths))):
            sizes = [((width if first else after) + skips.pop(), after) for first in (True, *[False] * depth)]
            self.up_blocks.append(Up(sizes, block, attention if attends[level] else None, doubles=level > 0))
            width = after
        self.conv_norm_out = nn.GroupNorm(self.groups, width)
        self.conv_out = zero_init(nn.Conv2d(width, channels[1], 3, padding=1))

    @property
    def multiple(self) -> int:
        """What divides both sides of a picture that need not be continued."""
        return 2 ** (len(self.widths) - 1)

    def forward(self, images: Tensor, condition: Tensor, text: Text | None = None) -> Tensor:
        """images (B, C, H, W), condition (B, condition_width) -> (B, channels_out, H, W)"""
        height, width = images.shape[-2:]
        hidden = self.conv_in(pad_to_multiple(images, self.multiple))
        skips = [hidden]
        for block in self.down_blocks:
            hidden = block(hidden, condition, skips)
        hidden = self.mid_block(hidden, condition)
        for block in self.up_blocks:
            hidden = block(hidden, condition, skips)
        return self.conv_out(F.silu(self.conv_norm_out(hidden)))[..., :height, :width]


class Level(nn.Module):
    """Residual blocks at one size of the picture, each with attention behind it where there is any.

    sizes: channels before and after each block.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], block: Make, attention: Make | None):
        super().__init__()
        self.resnets = nn.ModuleList(block(*size) for size in sizes)
        self.attentions = nn.ModuleList(attention(after) for _, after in sizes) if attention else None

    def step(self, number: int, hidden: Tensor, condition: Tensor) -> Tensor:
        hidden = self.resnets[number](hidden, condition)
        return hidden if self.attentions is None else self.attentions[number](hidden)


class Down(Level):
    """A level on the way down, which leaves what it came to on the pile of skips."""

    def __init__(self, sizes: Sequence[tuple[int, int]], block: Make, attention: Make | None, *, halves: bool):
        super().__init__(sizes, block, attention)
        self.downsamplers = nn.ModuleList([Resample(sizes[-1][1], stride=2)] if halves else [])

    def forward(self, hidden: Tensor, condition: Tensor, skips: list[Tensor]) -> Tensor:
        for number in range(len(self.resnets)):
            hidden = self.step(number, hidden, condition)
            skips.append(hidden)
        for layer in self.downsamplers:
            hidden = layer(hidden)
            skips.append(hidden)
        return hidden


class Middle(nn.Module):
    """Two blocks at the smallest size, with attention between them."""

    def __init__(self, width: int, block: Make, attention: Make):
        super().__init__()
        self.resnets = nn.ModuleList(block(width, width) for _ in range(2))
        self.attentions = nn.ModuleList([attention(width)])

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        hidden = self.attentions[0](self.resnets[0](hidden, condition))
        return self.resnets[1](hidden, condition)


class Up(Level):
    """A level on the way up, which takes from the pile of skips."""

    def __init__(self, sizes: Sequence[tuple[int, int]], block: Make, attention: Make | None, *, doubles: bool):
        super().__init__(sizes, block, attention)
        self.upsamplers = nn.ModuleList([Resample(sizes[-1][1], stride=1)] if doubles else [])

    def forward(self, hidden: Tensor, condition: Tensor, skips: list[Tensor]) -> Tensor:
        for number in range(len(self.resnets)):
            hidden = self.step(number, torch.cat([hidden, skips.pop()], dim=1), condition)
        for layer in self.upsamplers:
            hidden = layer(F.interpolate(hidden, scale_factor=2.0, mode="nearest"))
        return hidden


class Block(nn.Module):
    """Two convolutions on a residual branch, the second one scaled and shifted by the condition."""

    def __init__(self, before: int, after: int, *, condition_width: int, groups: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, before)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.time_emb_proj = nn.Linear(condition_width, 2 * after)
        self.norm2 = nn.GroupNorm(groups, after)
        self.conv2 = zero_init(nn.Conv2d(after, after, 3, padding=1))
        self.conv_shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(images)))
        scale, shift = self.time_emb_proj(F.silu(condition))[:, :, None, None].chunk(2, dim=1)
        return self.conv_shortcut(images) + self.conv2(F.silu(self.norm2(hidden) * (1 + scale) + shift))


class Attention(nn.Module):
    """Attention among the pixels of a feature map, in heads of `head` channels, beside the map itself."""

    def __init__(self, width: int, *, head: int, groups: int):
        super().__init__()
        self.head = head
        self.group_norm = nn.GroupNorm(groups, width)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([zero_init(nn.Linear(width, width))])

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.group_norm(images).flatten(2).transpose(1, 2)
        heads = (
            part(tokens).unflatten(2, (-1, self.head)).transpose(1, 2) for part in (self.to_q, self.to_k, self.to_v)
        )
        mixed = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        return images + self.to_out[0](mixed).transpose(1, 2).view_as(images)


class Resample(nn.Module):
    """The convolution that halves a picture (stride 2), or that smooths one which was doubled."""

    def __init__(self, width: int, *, stride: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=stride, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images)


class TimeEmbedding(nn.Module):
    """A time per row, from 0 to 1, as cosines and sines of places (Vaswani et al. 2017, 3.5) and two layers.

    (B,) -> (B, condition_width); width: of the first level.
    """

    def __init__(self, width: int, condition_width: int):
        super().__init__()
        self.linear_1 = nn.Linear(width, condition_width)
        self.linear_2 = nn.Linear(condition_width, condition_width)

    def forward(self, time: Tensor) -> Tensor:
        width = self.linear_1.in_features
        exponents = -math.log(10_000) * torch.arange(width // 2, device=time.device) / (width // 2)
        angles = (TIMES * time.float())[:, None] * exponents.exp()
        waves = F.pad(torch.cat([angles.cos(), angles.sin()], dim=1), (0, width % 2))
        return self.linear_2(F.silu(self.linear_1(waves)))
