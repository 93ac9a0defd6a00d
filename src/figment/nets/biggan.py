"""The two networks of BigGAN: residual, spectrally normalised, each layer told of noise and condition.

    generator   linear -> levels of (condition norm, ReLU, up, 3x3, condition norm, ReLU, 3x3) -> norm, ReLU, 3x3, tanh
    critic      levels of (ReLU, 3x3, ReLU, 3x3, down) -> ReLU, sum -> linear + <features, condition>

Brock et al. 2019, appendix B. Both attend among their pixels at one size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.core.types import Condition, ImageSpec
from figment.nets.embeddings import ConditionEmbedding, quiet
from figment.nets.pyramid import Size, level_widths, pyramid, resize
from figment.nets.spectral import spectral


def convolution(before: int, after: int, kernel: int) -> nn.Conv2d:
    return spectral(nn.Conv2d(before, after, kernel, padding=kernel // 2))


class ConditionNorm(nn.Module):
    """Batch norm whose gain and offset are linear in a vector: (B, C, H, W), (B, V) -> (B, C, H, W).

    de Vries et al. 2017; with BigGAN the vector is a part of the noise beside the condition.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, vector: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.gain = spectral(nn.Linear(vector, channels, bias=False))
        self.offset = spectral(nn.Linear(vector, channels, bias=False))
        self.momentum: float | None = 0.1

    def forward(self, images: Tensor, vector: Tensor) -> Tensor:
        hidden = F.batch_norm(images, self.mean, self.variance, training=self.training, momentum=self.momentum or 0.0)
        gain, offset = (part(vector)[:, :, None, None].to(hidden) for part in (self.gain, self.offset))
        return hidden * (1 + gain) + offset


class PixelMixing(nn.Module):
    """Attention among the pixels of a feature map, written out: (B, C, H, W) -> the same shape. Zhang et al. 2019.

    Keys and values are halved pictures, the queries whole ones; it begins as nothing.
    """

    def __init__(self, channels: int):
        super().__init__()
        inner = max(1, channels // 8)
        self.query, self.key = convolution(channels, inner, 1), convolution(channels, inner, 1)
        self.value = convolution(channels, max(1, channels // 2), 1)
        self.leave = convolution(max(1, channels // 2), channels, 1)
        self.loudness = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        query = self.query(images).flatten(2)
        key, value = (F.max_pool2d(part(images), 2).flatten(2) for part in (self.key, self.value))
        share = (query.transpose(1, 2) @ key).float().softmax(2).to(value.dtype)  # (B, HW, HW / 4)
        mixed = (value @ share.transpose(1, 2)).unflatten(2, images.shape[2:])
        return images + self.loudness.to(images.dtype) * self.leave(mixed)


def attended(sizes: list[Size], below: int) -> Size | None:
    """The largest size whose smaller side is at most `below` and at least 4; None where there is none."""
    fitting = [size for size in sizes if 4 <= min(size) <= below]
    return max(fitting, default=None)


class GrowingBlock(nn.Module):
    """A residual block that brings pictures to a size: (B, before, h, w), (B, V) -> (B, after, *size)."""

    def __init__(self, before: int, after: int, vector: int, size: Size):
        super().__init__()
        self.size = size
        self.norm_in, self.norm_out = ConditionNorm(before, vector), ConditionNorm(after, vector)
        self.conv_in, self.conv_out = convolution(before, after, 3), convolution(after, after, 3)
        self.shortcut = convolution(before, after, 1)

    def forward(self, images: Tensor, vector: Tensor) -> Tensor:
        hidden = self.conv_in(resize(F.relu(self.norm_in(images, vector)), self.size))
        hidden = self.conv_out(F.relu(self.norm_out(hidden, vector)))
        return hidden + resize(self.shortcut(images), self.size)


class ShrinkingBlock(nn.Module):
    """A residual block of the critic: (B, before, H, W) -> (B, after, *size).

    first: the input is a picture. last: neither size nor width changes, and the shortcut is the input itself.
    """

    def __init__(self, before: int, after: int, size: Size, *, first: bool, last: bool):
        super().__init__()
        self.size, self.first = size, first
        self.conv_in, self.conv_out = convolution(before, after, 3), convolution(after, after, 3)
        self.shortcut = nn.Identity() if last else convolution(before, after, 1)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.conv_in(images if self.first else F.relu(images))
        hidden = self.conv_out(F.relu(hidden))
        return resize(hidden, self.size) + resize(self.shortcut(images), self.size)


class BigGenerator(nn.Module):
    """Noise (B, parts * chunk) and condition to pictures in [-1, 1].

    The noise is cut into chunks, one for the beginning and one for each block (section 3, "skip-z"). Every block also
    sees one shared embedding of the condition.
    """

    def __init__(self, spec: ImageSpec, *, width: int, chunk: int, embedding: int, attention_below: int):
        super().__init__()
        sizes = pyramid((spec.height, spec.width))
        widths = level_widths(len(sizes), width, 16 * width)
        vector, place = chunk + embedding, attended(sizes[1:], attention_below)
        self.chunk, self.parts, self.start = chunk, len(sizes), (widths[0], *sizes[0])
        self.condition = quiet(ConditionEmbedding(spec, embedding))
        self.enter = spectral(nn.Linear(chunk, widths[0] * sizes[0][0] * sizes[0][1]))
        plan = list(zip(widths[:-1], widths[1:], sizes[1:], strict=True))
        self.blocks = nn.ModuleList(GrowingBlock(before, after, vector, size) for before, after, size in plan)
        self.mixing = nn.ModuleList(PixelMixing(after) if size == place else nn.Identity() for _, after, size in plan)
        self.norm = nn.BatchNorm2d(widths[-1])
        self.leave = convolution(widths[-1], spec.channels, 3)

    def forward(self, noise: Tensor, condition: Condition | None) -> Tensor:
        first, *chunks = noise.split(self.chunk, 1)
        asked = self.condition(condition, noise.shape[0])
        hidden = self.enter(first).unflatten(1, self.start)
        for block, mixing, chunk in zip(self.blocks, self.mixing, chunks, strict=True):
            hidden = mixing(block(hidden, torch.cat([chunk, asked], 1)))
        return self.leave(F.relu(self.norm(hidden))).float().tanh()


class ProjectionCritic(nn.Module):
    """Pictures and condition to logits, high for real: (B, C, H, W) -> (B, 1).

    A linear answer, plus the features' product with an embedding of the condition (Miyato and Koyama 2018, equation 3).
    """

    def __init__(self, spec: ImageSpec, *, width: int, attention_below: int):
        super().__init__()
        sizes = pyramid((spec.height, spec.width))[::-1]
        widths = level_widths(len(sizes), width, 16 * width)[::-1]
        place = attended(sizes[1:], attention_below)
        befores, targets = [spec.channels, *widths[:-1]], [*sizes[1:], sizes[-1]]  # the last block keeps the size
        plan = list(zip(befores, widths, targets, strict=True))
        self.blocks = nn.ModuleList(
            ShrinkingBlock(before, after, size, first=number == 0, last=number == len(plan) - 1 and before == after)
            for number, (before, after, size) in enumerate(plan)
        )
        where = next((number for number, (_, _, size) in enumerate(plan) if size == place), None)
        self.mixing = nn.ModuleList(
            PixelMixing(after) if number == where else nn.Identity() for number, (_, after, _) in enumerate(plan)
        )
        self.answer = spectral(nn.Linear(widths[-1], 1))
        self.condition = ConditionEmbedding(spec, widths[-1])
        for layer in (self.condition.labels, self.condition.attributes):
            if layer is not None:
                spectral(layer)

    def forward(self, images: Tensor, condition: Condition) -> Tensor:
        hidden = images
        for block, mixing in zip(self.blocks, self.mixing, strict=True):
            hidden = mixing(block(hidden))
        features = F.relu(hidden).float().sum((2, 3))
        asked = self.condition(condition, images.shape[0]).float()
        return self.answer(features).float() + (features * asked).sum(1, keepdim=True)
