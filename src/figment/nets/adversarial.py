"""Convolutional players of an adversarial game: a generator that grows a picture, and a critic that shrinks it.

Strided convolutions, batch norm, ReLU in the one and leaky ReLU in the other, as Radford et al. 2016, section 3, have
it. Kernels of 4 pixels at a stride of 2 meet every pixel equally often, so there is no chequerboard.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from figment.core.config import check_range
from figment.core.diff_augment import DiffAugment
from figment.core.errors import DataError
from figment.core.types import Batch, Condition, ImageSpec
from figment.nets.embeddings import ConditionEmbedding, drop_condition, quiet

Norm = Literal["batch", "none"]

MOST_WIDE = 8  # times the width of the largest size
SMALLEST = 4  # pixels of the shorter side that the generator starts from, up to twice as many


@dataclass(frozen=True)
class PlayersConfig(DiffAugment):
    """Size of the two players."""

    width: int = 32
    """Channels at the largest size; they double with every halving, up to eight times as many."""
    latents: int = 64
    """Length of the noise vector."""
    condition_dropout: float = 0.1
    """Share of pictures shown without their label, so that both ways are learnt."""

    def __post_init__(self):
        super().__post_init__()
        check_range("family.width", self.width, 4, 2048)
        check_range("family.latents", self.latents, 1, 4096)
        check_range("family.condition_dropout", self.condition_dropout, 0, 1)


def drawn(generator: Any, batch: Batch, condition_dropout: float) -> tuple[Tensor, Condition]:
    """As many generated pictures as `batch` has real ones, and what both kinds show.

    generator: has the face Generates. The condition is left open in a share of the rows.
    """
    condition = drop_condition(batch.condition, condition_dropout)
    noise = torch.randn(len(batch), *generator.noise_shape()).to(batch.images.device)
    return generator.generate(noise, condition), condition


class Grower(nn.Module):
    """A vector to a picture in [-1, 1], doubled in size by every layer: (B, vector_width) -> (B, C, H, W) float32.

    shape: (C, H, W). Sides that no power of 2 divides are cut to size at the end.
    """

    def __init__(self, vector_width: int, shape: tuple[int, int, int], width: int):
        super().__init__()
        channels, *self.size = shape
        doublings = _doublings(shape)
        self.start = [-(-side // 2**doublings) for side in self.size]
        widths = [width * min(2**level, MOST_WIDE) for level in reversed(range(doublings + 1))]
        self.enter = nn.Linear(vector_width, widths[0] * math.prod(self.start), bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for before, after in itertools.pairwise(widths):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], channels, 3, padding=1))
        self.apply(_small)

    def forward(self, vector: Tensor) -> Tensor:
        images = self.layers(self.enter(vector).unflatten(1, (-1, *self.start)))
        return images[..., : self.size[0], : self.size[1]].float().tanh()


class ConvGenerator(nn.Module):
    """Noise and condition to pictures, with the face Generates."""

    def __init__(self, spec: ImageSpec, config: PlayersConfig):
        super().__init__()
        self.latents = config.latents
        self.condition = quiet(ConditionEmbedding(spec, config.latents))
        self.grow = Grower(2 * config.latents, spec.shape, config.width)

    def noise_shape(self) -> tuple[int]:
        return (self.latents,)

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Any = None) -> Tensor:
        return self.draw(noise, condition)

    def draw(self, noise: Tensor, condition: Condition | None) -> Tensor:
        """What the critic is shown."""
        vector = self.condition(condition, noise.shape[0]).to(noise.device)
        return self.grow(torch.cat([noise, vector], 1))


class Trunk(nn.Module):
    """A picture to the features by which it is judged, halved in size by every layer: (B, C, H, W) -> (B, features).

    shape: (C, H, W). norm: "batch" lets the pictures of a batch stand out against each other; "none" judges each by
    itself, which penalties on the slope need. dropout: share of channels that are hidden in training.
    """

    def __init__(self, shape: tuple[int, int, int], width: int, norm: Norm, dropout: float = 0.0):
        super().__init__()
        channels, *size = shape
        halvings = _doublings(shape) + 1
        widths = [channels, *(width * min(2**level, MOST_WIDE) for level in range(halvings))]
        layers: list[nn.Module] = []
        for level, (before, after) in enumerate(itertools.pairwise(widths)):
            normed = norm == "batch" and level > 0  # Radford et al.: not on what the critic sees first
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=not normed)]
            layers += [nn.BatchNorm2d(after)] if normed else []
            layers += [nn.LeakyReLU(0.2), *([nn.Dropout2d(dropout)] if dropout else [])]
        self.features = widths[-1]
        places = math.prod(side // 2**halvings for side in size)
        layers += [nn.Flatten(), nn.Linear(widths[-1] * places, self.features), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.apply(_small if norm == "batch" else _kaiming)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class Verdict(nn.Module):
    """Features to a logit, high for real, and higher where they fit the condition.

    Miyato and Koyama 2018, equation 3. features (B, features) -> (B, 1) float32
    """

    def __init__(self, spec: ImageSpec, features: int):
        super().__init__()
        self.logit = nn.Linear(features, 1)
        self.condition = ConditionEmbedding(spec, features)

    def forward(self, features: Tensor, condition: Condition | None) -> Tensor:
        vector = self.condition(condition, len(features)).to(features.device)
        fit = (features * vector).float().sum(1, keepdim=True) / math.sqrt(features.shape[1])
        return self.logit(features).float() + fit


class ConvCritic(nn.Module):
    """Pictures and condition to logits, high for real."""

    def __init__(self, spec: ImageSpec, width: int, norm: Norm):
        super().__init__()
        self.trunk = Trunk(spec.shape, width, norm)
        self.verdict = Verdict(spec, self.trunk.features)

    def forward(self, images: Tensor, condition: Condition | None) -> Tensor:
        """(B, C, H, W) -> (B, 1)"""
        return self.verdict(self.trunk(images), condition)


def _doublings(shape: tuple[int, int, int]) -> int:
    """How often the smallest size is doubled. Raises DataError for pictures in which nothing can be halved."""
    _, height, width = shape
    if min(height, width) < SMALLEST:
        raise DataError(
            f"pictures of {height}x{width} are too small for convolutions, which need {SMALLEST} pixels a side; "
            "train 'gan' instead"
        )
    return (min(height, width) // SMALLEST).bit_length() - 1


def _small(module: nn.Module) -> None:
    """Weights of standard deviation 0.02, those of norms around 1 (Radford et al. 2016, section 4)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def _kaiming(module: nn.Module) -> None:
    """Weights that keep the variance through leaky ReLUs, for networks without norms (He et al. 2015)."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, a=0.2)
