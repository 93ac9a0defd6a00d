"""Pixel CNN: predict each value of a picture from all values before it, by masked convolutions.

    p(x) = prod_i p(x_i | x_1, ..., x_{i-1}, c)                     (van den Oord et al. 2016b, equations 1 and 3)

The probability of a picture is exact, and so are its bits. Pictures are drawn value by value, each where the cumulative
probability passes a uniform number of its own, so a picture is a function of its noise; what is known of a picture can
be kept, and the rest drawn to match.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.errors import ConfigError
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss
from figment.losses.distributions import Likelihood, choosing, on_grid, parameters_of, refuse_grey, value_nats
from figment.nets.embeddings import KINDS, ConditionEmbedding, Kind, drop_condition, told_spec
from figment.nets.masked import GatedPixelCnn

TRAIN = TrainConfig(batch_size=16, lr=1e-3, beta2=0.99, clip_norm=1.0)


@dataclass(frozen=True)
class Config:
    """Size of the network, and what it says of each value."""

    width: int = 32
    """Features of a layer."""
    depth: int = 8
    """Layers; each reaches half a kernel further up and to the left."""
    kernel: int = 5
    """Pixels that a layer looks at in each row above; odd."""
    likelihood: Likelihood = "categorical"
    """What is said of each value: bernoulli for black and white, categorical any of 256, logistic a smooth mixture."""
    told: tuple[Kind, ...] = KINDS
    """What the network is told of a picture, if the dataset has it; nothing for the plain likelihood."""
    condition_dropout: float = 0.1
    """Share of pictures shown without their label, so that both ways are learnt."""

    def __post_init__(self):
        check_range("family.width", self.width, 4, 2048)
        check_range("family.depth", self.depth, 2, 64)
        check_range("family.kernel", self.kernel, 3, 15)
        check_range("family.condition_dropout", self.condition_dropout, 0, 1)
        if self.kernel % 2 == 0:
            raise ConfigError(f"--family.kernel {self.kernel}: give an odd number, such as {self.kernel + 1}")

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16, depth=3, kernel=3), "small": cls(), "base": cls(width=96, depth=12)}[scale]


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn."""

    temperature: float = 1.0
    """What the log probabilities of a value are divided by; below 1 likely values are drawn more often."""

    CHOICES: ClassVar[Mapping[str, tuple[float, ...]]] = {"temperature": (0.8, 0.9, 0.95, 1.0)}

    def __post_init__(self):
        check_range("sampling.temperature", self.temperature, 0.01, 10)


class PixelCnnModel(nn.Module):
    """Masked network with the faces Generates and Scores; it also completes."""

    def __init__(self, spec: ImageSpec, config: Config):
        super().__init__()
        self.spec = spec
        self.kind: Likelihood = config.likelihood
        self.condition = ConditionEmbedding(told_spec(spec, config.told), 2 * config.width)
        sizes = {"width": config.width, "depth": config.depth, "kernel": config.kernel}
        self.net = GatedPixelCnn(spec.shape, parameters_of(self.kind), self.condition.width, **sizes)

    def nats(self, images: Tensor, condition: Condition | None) -> Tensor:
        """-log p(x) of every value given those before it: (B, C, H, W) on the grid -> the same shape"""
        return value_nats(self.kind, images, self.net(images, self.condition(condition, len(images))))

    def bits_per_dim(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        """Exact."""
        if self.kind == "bernoulli":
            refuse_grey(images)
        return self.nats(on_grid(self.kind, images), condition).flatten(1).mean(1) / math.log(2)

    def noise_shape(self) -> tuple[int, int, int]:
        return self.spec.shape

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Sampling | None = None) -> Tensor:
        return self.complete(noise, torch.zeros_like(noise, dtype=torch.bool), noise, condition, settings)

    def complete(
        self,
        images: Tensor,
        known: Tensor,
        noise: Tensor,
        condition: Condition | None = None,
        settings: Sampling | None = None,
    ) -> Tensor:
        """Pictures (B, C, H, W) with what is known of them, and the rest drawn, row by row, to match what is before it.

        known: bool, (H, W) or any shape that broadcasts to the pictures. What comes later than a gap is kept, but
        cannot steer what is drawn into it: give the top of a picture rather than its foot.
        """
        temperature, known = (settings or Sampling()).temperature, known.expand_as(images)
        choose = choosing(self.kind, noise, temperature, images, known)
        return torch.where(known, images, self.net.fill(self.condition(condition, len(noise)), choose))


class PixelCnnObjective(Objective[PixelCnnModel]):
    def __init__(self, model: PixelCnnModel, config: Config):
        super().__init__(model)
        self.config = config

    def loss(self, batch: Batch) -> Loss:
        x = on_grid(self.config.likelihood, batch.images)
        condition = drop_condition(batch.condition, self.config.condition_dropout, self.config.told)
        nats = self.model.nats(x, condition).mean()
        return Loss({"nats": nats}, {"nats_per_image": nats * x[0].numel(), "bits_per_dim": nats / math.log(2)})


def build(config: Config, spec: ImageSpec) -> Objective:
    """A masked network for pictures of this spec."""
    return PixelCnnObjective(PixelCnnModel(spec, config), config)
