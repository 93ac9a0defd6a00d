"""The networks of StyleGAN2: a mapping to styles, a synthesis that is modulated by them, a residual critic.

    w'_ijk = s_i w_ijk,   w''_ijk = w'_ijk / sqrt(sum_ik w'_ijk^2 + eps)        (Karras et al. 2020, equations 1 and 3)

Every layer has an equalised learning rate: its weights are standard normal, and scaled where they are used by what
keeps the variance (Karras et al. 2018, section 4.1). Pictures are doubled by the filter [1, 3, 3, 1], halved by means.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.core.types import Condition, ImageSpec
from figment.nets.embeddings import ConditionEmbedding
from figment.nets.pyramid import Size, level_widths, pyramid, resize

GROUP = 4  # pictures that minibatch deviation compares


class EqualLinear(nn.Module):
    """(B, before) -> (B, after). pace: how much slower than others the layer learns, 0.01 in the mapping."""

    def __init__(self, before: int, after: int, *, bias: float = 0.0, pace: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before) / pace)
        self.bias = nn.Parameter(torch.full((after,), bias / pace))
        self.gain, self.pace = pace / math.sqrt(before), pace

    def forward(self, vectors: Tensor) -> Tensor:
        return F.linear(vectors, self.weight * self.gain, self.bias * self.pace)


class EqualConv(nn.Module):
    """(B, before, H, W) -> (B, after, H, W)"""

    def __init__(self, before: int, after: int, kernel: int, *, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(after)) if bias else None
        self.gain, self.padding = 1 / math.sqrt(before * kernel**2), kernel // 2

    def forward(self, images: Tensor) -> Tensor:
        return F.conv2d(images, self.weight * self.gain, self.bias, padding=self.padding)


def active(hidden: Tensor) -> Tensor:
    """Leaky ReLU, times what keeps the variance of a normal input about where it was."""
    return F.leaky_relu(hidden, 0.2) * math.sqrt(2)


class ModulatedConv(nn.Module):
    """A convolution whose input channels are as loud as a style says; its answer has unit variance for unit noise.

    Instead of a kernel a picture, which is a grouped convolution, the channels are scaled before and after one that all
    pictures share: the same numbers (equations 1 to 3 are linear in the kernel), and faster wherever groups are slow.
    (B, before, H, W), w (B, D) -> (B, after, H, W)
    """

    def __init__(self, before: int, after: int, kernel: int, style_width: int, *, demodulate: bool = True):
        super().__init__()
        self.conv = EqualConv(before, after, kernel, bias=False)
        self.style = EqualLinear(style_width, before, bias=1.0)
        self.demodulate = demodulate

    def forward(self, images: Tensor, w: Tensor) -> Tensor:
        style = self.style(w).float()
        hidden = self.conv(images * style[:, :, None, None].to(images.dtype))
        if not self.demodulate:
            return hidden
        with torch.autocast(images.device.type, enabled=False):
            power = style.square() @ (self.conv.weight * self.conv.gain).square().sum((2, 3)).T  # (B, after)
        return hidden * torch.rsqrt(power + 1e-8)[:, :, None, None].to(hidden.dtype)


class StyledLayer(nn.Module):
    """A modulated 3x3 convolution, noise at every pixel as loud as was learnt, bias, leaky ReLU."""

    def __init__(self, before: int, after: int, size: Size, style_width: int):
        super().__init__()
        self.size = size
        self.conv = ModulatedConv(before, after, 3, style_width)
        self.loudness = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, images: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """images (B, before, h, w), resized first; w (B, D); noise (B, 1, *size)"""
        hidden = self.conv(resize(images, self.size), w)
        hidden = hidden + (self.loudness * noise).to(hidden.dtype)
        return active(hidden + self.bias[:, None, None].to(hidden.dtype))


class Mapping(nn.Module):
    """Noise and condition to w: both brought to unit length a channel, then a perceptron that learns slowly."""

    def __init__(self, spec: ImageSpec, latents: int, width: int, depth: int):
        super().__init__()
        self.condition = ConditionEmbedding(spec, latents)
        self.is_told = any(True for _ in self.condition.parameters())
        widths = [(1 + self.is_told) * latents, *[width] * depth]
        self.layers = nn.ModuleList(
            EqualLinear(before, after, pace=0.01) for before, after in itertools.pairwise(widths)
        )

    def forward(self, noise: Tensor, condition: Condition | None) -> Tensor:
        """(B, latents) -> (B, D)"""
        parts = [noise, self.condition(condition, noise.shape[0])] if self.is_told else [noise]
        hidden = torch.cat([F.normalize(part.float(), dim=1) * math.sqrt(part.shape[1]) for part in parts], 1)
        for layer in self.layers:
            hidden = active(layer(hidden))
        return hidden.float()


class Synthesis(nn.Module):
    """Styles (B, styles, D) and noise to pictures, every size adding its own (the "output skips" of section 4.1).

    A learnt pattern is the input. Pictures may leave [-1, 1]. There are two styles a size.
    """

    def __init__(self, spec: ImageSpec, *, width: int, most: int, style_width: int):
        super().__init__()
        sizes = pyramid((spec.height, spec.width))
        widths = level_widths(len(sizes), width, most)
        self.pattern = nn.Parameter(torch.randn(1, widths[0], *sizes[0]))
        self.layers, self.pictures = nn.ModuleList(), nn.ModuleList()
        for level, (size, after) in enumerate(zip(sizes, widths, strict=True)):
            if level:
                self.layers.append(StyledLayer(widths[level - 1], after, size, style_width))
            self.layers.append(StyledLayer(after, after, size, style_width))
            self.pictures.append(ModulatedConv(after, spec.channels, 1, style_width, demodulate=False))
        self.offset = nn.Parameter(torch.zeros(spec.channels))
        self.styles = len(self.layers) + 1

    @property
    def noise_sizes(self) -> list[Size]:
        """Size of the noise of each layer."""
        return [layer.size for layer in self.layers]  # type: ignore[misc]

    def forward(self, w: Tensor, noises: Sequence[Tensor]) -> Tensor:
        """w (B, styles, D), noises: (B or 1, 1, *size) for each layer -> (B, C, H, W) float32"""
        hidden, images = self.pattern.expand(w.shape[0], -1, -1, -1), None
        for number, (layer, noise) in enumerate(zip(self.layers, noises, strict=True)):
            hidden = layer(hidden, w[:, number], noise)
            if number % 2 == 0:  # the last layer of its size; its picture has the next one's style
                fresh = self.pictures[number // 2](hidden, w[:, number + 1]).float()
                images = fresh if images is None else resize(images, fresh.shape[-2:]) + fresh
        assert images is not None
        return images + self.offset[:, None, None]


class CriticBlock(nn.Module):
    """Two convolutions and a shortcut, halved: (B, before, H, W) -> (B, after, *size)."""

    def __init__(self, before: int, after: int, size: Size):
        super().__init__()
        self.size = size
        self.conv_in, self.conv_out = EqualConv(before, before, 3), EqualConv(before, after, 3)
        self.shortcut = EqualConv(before, after, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        hidden = active(self.conv_in(images))
        hidden = active(self.conv_out(resize(hidden, self.size)))
        return (hidden + self.shortcut(resize(images, self.size))) / math.sqrt(2)


class StyleCritic(nn.Module):
    """Pictures and condition to logits, high for real: (B, C, H, W) -> (B, 1).

    One of the last channels says how much the pictures of a group differ (Karras et al. 2018, section 3), so that a
    generator of few kinds is seen through.
    """

    def __init__(self, spec: ImageSpec, *, width: int, most: int):
        super().__init__()
        sizes = pyramid((spec.height, spec.width))[::-1]
        widths = level_widths(len(sizes), width, most)[::-1]
        self.enter = EqualConv(spec.channels, widths[0], 1)
        steps = zip(itertools.pairwise(widths), sizes[1:], strict=True)
        self.blocks = nn.Sequential(*(CriticBlock(before, after, size) for (before, after), size in steps))
        self.mix = EqualConv(widths[-1] + 1, widths[-1], 3)
        self.features = EqualLinear(widths[-1] * math.prod(sizes[-1]), widths[-1])
        self.answer = EqualLinear(widths[-1], widths[-1])
        self.condition = ConditionEmbedding(spec, widths[-1])
        self.wanted = nn.Parameter(torch.randn(widths[-1]))

    def forward(self, images: Tensor, condition: Condition) -> Tensor:
        hidden = self.blocks(active(self.enter(images)))
        hidden = active(self.mix(torch.cat([hidden, deviation(hidden)], 1)))
        features = self.answer(active(self.features(hidden.flatten(1)))).float()
        wanted = self.wanted + self.condition(condition, images.shape[0]).float()
        return (features * wanted).sum(1, keepdim=True) / math.sqrt(len(self.wanted))


def deviation(features: Tensor) -> Tensor:
    """Mean standard deviation of a group of up to 4 rows, as one more channel: (B, C, H, W) -> (B, 1, H, W)."""
    batch = len(features)
    groups = batch // next(size for size in range(GROUP, 0, -1) if batch % size == 0)
    wide = features.float().unflatten(0, (-1, groups))  # (rows of a group, groups, C, H, W)
    spread = (wide.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    return spread.repeat(batch // groups).view(-1, 1, 1, 1).expand(-1, 1, *features.shape[2:]).to(features.dtype)
